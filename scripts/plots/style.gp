# What all plots share; the program puts the terminal and the data before it.
set encoding utf8
set border 3 linecolor rgb '#404040'
set tics nomirror out textcolor rgb '#202020'
set grid linecolor rgb '#e0e0e0' linetype 1 linewidth 0.6
# the legend lies below everything, a line a series; rows: how many lines to leave for it
set key at screen 0.5, 0.01 center bottom vertical Left reverse noenhanced samplen 3 maxrows rows
set bmargin 4.6 + 1.15*rows
set errorbars 0.6
set bars front
