# Accuracy against cost, one point a run; bars are 95 % intervals, across: least and most MACs of an image.
# $data, one block a series: 1 MMACs an image, 2 least, 3 most, 4 top-1 %, 5 low, 6 high
# y_low, y_high: the axis; x_log: 1 where the costs span more than a factor of ten
set title 'Accuracy against cost'
set xlabel 'MACs of one image, millions (matrix products and convolutions)'
set ylabel sprintf('top-1 accuracy, %% (axis starts at %g)', y_low)
set yrange [y_low:y_high]
if (x_log) { set logscale x; set mxtics 10; set offsets graph 0.08, graph 0.08, 0, 0 } else { set xrange [0:*] }
plot for [i=1:n_series] $data index (i-1) using 1:4:2:3:5:6 with xyerrorbars \
    linecolor rgb colour[i] linewidth 1.5 pointtype point[i] pointsize 1.1 title label[i]
