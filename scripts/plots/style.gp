# What all plots share; the program puts the terminal and the data before it.
# width, height: of the picture in points; narrow: 1 for a telephone, panels below each other; titled: 1 where the picture carries picture_title itself
# key_spacing: of the legend's lines; 1 where nothing set it beside the terminal
if (!exists('key_spacing')) key_spacing = 1
set encoding utf8
set border 3 linecolor rgb '#404040'
set tics nomirror out textcolor rgb '#202020' scale 0.6
set grid linecolor rgb '#e0e0e0' linetype 1 linewidth 0.6
# the legend lies below everything, a line a series; rows: how many lines to leave for it
set key at screen 0.5, 0.01 center bottom vertical Left reverse noenhanced samplen 2.5 spacing key_spacing maxrows rows
set ylabel offset 0.8,0
set errorbars 0.6
set bars front
# a cut axis says so
accuracy_name(low) = (narrow ? 'top-1, %' : 'top-1 accuracy, %') . (low > 0 ? sprintf(' (axis starts at %g)', low) : '')
# panel_grid(n, columns): the command that begins n panels, below each other where it is narrow; leaves room for title and legend
line = 18.0/height
set bmargin at screen (rows + 3.9)*line
gap = 3.8     # lines between panels, for tics and a label
top = 0       # lines above the panels beside those of the title
# what a reader must know of the numbers stands below the title
# (caption[i], n_captions), each on a line of its own
heading = picture_title
do for [i=1:n_captions] { heading = sprintf('%s%c%s', heading, 10, caption[i]) }
top = top + n_captions
panel_grid(n, columns) = sprintf('set multiplot layout %d,%d margins %.4f,%.4f,%.4f,%.4f spacing %.4f,%.4f', \
    narrow ? n : (n + columns - 1)/columns, narrow ? 1 : columns, 86.0/width, 1 - 16.0/width, (rows + 3.9)*line, \
    1 - ((titled ? 2.2 : 0.8) + top)*line, 92.0/width, gap*line) . (titled ? ' title heading noenhanced; unset title' : '; unset title')
panels(n) = panel_grid(n, n)
set title (titled ? heading : '') noenhanced
