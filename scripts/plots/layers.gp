# Time and speed of every layer, a line a model.
# $data, one block a model: 1 layer in the order they run, 2 ms an image, 3 GFLOP/s as 2 a multiply-accumulate; NaN: none
eval panels(2)
set datafile missing 'NaN'
set xlabel 'layer, in the order they run'
set xrange [0.5:*]
set yrange [0:*]
set ylabel 'milliseconds an image'
plot for [i=1:n_series] $data index (i-1) using 1:2 with linespoints linecolor rgb colour[i] linewidth 1.5 \
    dashtype dash[i] pointtype point[i] pointsize 0.8 title label[i]
unset key
set ylabel (narrow ? 'GFLOP/s (2 a MAC)' : 'GFLOP/s (2 a multiply-accumulate)')
plot for [i=1:n_series] $data index (i-1) using 1:3 with linespoints linecolor rgb colour[i] linewidth 1.5 \
    dashtype dash[i] pointtype point[i] pointsize 0.8 notitle
unset multiplot
