# What an experiment found: a panel a quantity. Along a number that was varied (numeric 1) a line a cell; of names a row a configuration.
# $data, for each panel a block a series: 1 x (names: the row, from below), 2 value, 3 low, 4 high
# panel[p]: what it shows; from_zero[p]: 0 for the accuracy, whose axis is y_low to y_high; step[p]: between tics of the others' where they are horizontal; factor, x_low, x_high, x_log: the axis along a number; names_width: room for names, in points;
# tic[i]: label[i] as the format that gnuplot takes a tic's text for
set datafile missing 'NaN'
block(p, i) = (p - 1)*n_series + i - 1
if (numeric) {
    eval panels(n_panels)
    set xlabel factor . (x_log ? ' (logarithmic)' : '') noenhanced
    if (x_log) { set logscale x; set xrange [x_low/1.2:x_high*1.2] } else {
        margin = 0.06*(x_high - x_low)
        set xrange [x_low - margin:x_high + margin]
    }
    do for [p=1:n_panels] {
        if (p == 2) { unset key }
        set ylabel (from_zero[p] ? panel[p] : accuracy_name(y_low)) noenhanced
        if (from_zero[p]) { set yrange [0:*] } else { set yrange [y_low:y_high] }
        plot for [i=1:n_series] $data index block(p, i) using 1:2 with lines linecolor rgb colour[i] linewidth 1.5 dashtype dash[i] notitle, \
             for [i=1:n_series] $data index block(p, i) using 1:2:3:4 with yerrorbars linecolor rgb colour[i] linewidth 1.5 \
                 pointtype point[i] pointsize 1 notitle, \
             for [i=1:n_series] NaN with linespoints linecolor rgb colour[i] linewidth 1.5 dashtype dash[i] pointtype point[i] title label[i]
    }
} else {
    unset key
    set yrange [0.4:n_series + 0.6]
    unset ylabel
    names(p, i) = p == 1 || narrow ? tic[i] : ''
    down = narrow ? n_panels : 1
    set multiplot layout down,(narrow ? 1 : n_panels) margins names_width*1.0/width, 1 - 16.0/width, 60.0/height, \
        1 - (titled ? 40.0 + 18*n_captions : 14.0)/height spacing 26.0/width, 70.0/height title (titled ? heading : '') noenhanced
    unset title
    do for [p=1:n_panels] {
        set xlabel (from_zero[p] ? panel[p] : accuracy_name(y_low)) noenhanced
        set ytics (names(p, 1) n_series) scale 0.4 noenhanced
        set for [i=2:n_series] ytics add (names(p, i) n_series + 1 - i)
        if (from_zero[p]) { set xrange [0:*]; set xtics step[p] } else { set xrange [y_low:y_high]; set xtics autofreq }
        plot for [i=1:n_series] $data index block(p, i) using 2:1:3:4 with xerrorbars linecolor rgb colour[i] linewidth 1.5 \
            pointtype point[i] pointsize 1.1 notitle
    }
}
unset multiplot
