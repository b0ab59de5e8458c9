# The same cells on different machines, a row a cell, a symbol a machine; bars are 95 % intervals.
# $data, one block a machine: 1 images/s, 2 low, 3 high, 4 cell (0 at the top). The program puts the name of each cell above its row.
set lmargin 2
set rmargin 3
set xlabel 'images a second (logarithmic)'
set logscale x
set yrange [n_cells - 0.4:-0.75]
unset ytics
set grid noytics
set border 1
plot for [i=1:n_series] $data index (i-1) using 1:4:2:3 with xerrorbars linecolor rgb colour[i] linewidth 1.5 \
    pointtype point[i] pointsize 1.1 title label[i]
