# Time and throughput by batch size or threads, a line a model; bars are 95 % intervals (a point without one has too few samples).
# $data, one block a series: 1 batch size or threads, 2 ms a batch, 3 low, 4 high, 5 images/s, 6 low, 7 high
# x_low, x_high: the axis, x_name what it is
eval panels(2)
set xlabel x_name
set logscale x 2
set xrange [x_low:x_high]
set logscale y
set ylabel 'milliseconds a batch (logarithmic)'
plot for [i=1:n_series] $data index (i-1) using 1:2:3:4 with yerrorlines linecolor rgb colour[i] linewidth 1.5 \
    dashtype dash[i] pointtype point[i] pointsize 0.9 title label[i]
unset key
unset logscale y
set yrange [0:*]
set ylabel 'images a second'
plot for [i=1:n_series] $data index (i-1) using 1:5:6:7 with yerrorlines linecolor rgb colour[i] linewidth 1.5 \
    dashtype dash[i] pointtype point[i] pointsize 0.9 notitle
unset multiplot
