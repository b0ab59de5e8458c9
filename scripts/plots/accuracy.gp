# Accuracy against cost, a panel a cost, one point a model; bars are 95 % intervals, in MACs least and most of an image.
# $data, for each panel a block a series: 1 cost, 2 low, 3 high, 4 top-1 %, 5 low, 6 high; then the Pareto front: 1 cost, 2 top-1 %
# y_low, y_high: the axis; panel[p]: name of the cost; x_log[p]: 1 where costs span more than a factor of ten;
# x_step[p]: between tics of the others;
# first[p]: index of its first block
# later points are smaller, so that equal ones show
eval panels(n_panels)
set yrange [y_low:y_high]
do for [p=1:n_panels] {
    if (p == 2) { unset key; unset label }
    set xlabel panel[p]
    set ylabel (p == 1 || narrow ? accuracy_name(y_low) : '')
    unset logscale x
    set autoscale x
    if (x_log[p]) { set logscale x; set xtics autofreq; set offsets graph 0.08, graph 0.08, 0, 0 } else { unset offsets; set xrange [0:*]; set xtics x_step[p] }
    plot $data index (first[p] + n_series) using 1:2 with steps linecolor rgb '#9a9a9a' linewidth 1.2 dashtype 2 notitle, \
         for [i=1:n_series] $data index (first[p]+i-1) using 1:4:2:3:5:6 with xyerrorbars \
             linecolor rgb colour[i] linewidth 1.5 pointtype point[i] pointsize 1.7 - 0.3*((i - 1) % 4) title label[i]
}
unset multiplot
