# What all plots share; the program puts the terminal and the data before it.
set encoding utf8
set border 3 linecolor rgb '#404040'
set tics nomirror out textcolor rgb '#202020'
set grid linecolor rgb '#e0e0e0' linetype 1 linewidth 0.6
set key outside bottom center horizontal noenhanced samplen 3 maxrows 6
set errorbars 0.6
set bars front
