# Accuracy and cost of trainings that differ in one setting, a line a group of trainings; bars are 95 % intervals.
# $data, one block a group: 1 value, 2 top-1 %, 3 low, 4 high, 5 MMACs an image, 6 runs
# factor: the setting; numeric: 0 where values are names (the program sets their tics); x_low, x_high, x_log, y_low, y_high: the axes
eval panels(2)
set datafile missing 'NaN'
set xlabel factor . (x_log ? ' (logarithmic)' : '') noenhanced
if (x_log) { set logscale x; set xrange [x_low/1.2:x_high*1.2] } else {
    margin = numeric ? 0.06*(x_high - x_low) : 0.5
    set xrange [x_low - margin:x_high + margin]
}
set ylabel accuracy_name(y_low)
set yrange [y_low:y_high]
if (numeric) {
    plot for [i=1:n_series] $data index (i-1) using 1:2:3:4 with yerrorlines linecolor rgb colour[i] linewidth 1.5 dashtype dash[i] \
        pointtype point[i] pointsize 1 title label[i]
} else {
    plot for [i=1:n_series] $data index (i-1) using 1:2:3:4 with yerrorbars linecolor rgb colour[i] linewidth 1.5 \
        pointtype point[i] pointsize 1.1 title label[i]
}
unset key
set yrange [0:*]
set ylabel 'MACs of one image, millions'
if (numeric) {
    plot for [i=1:n_series] $data index (i-1) using 1:5 with linespoints linecolor rgb colour[i] linewidth 1.5 dashtype dash[i] \
        pointtype point[i] pointsize 1 notitle
} else {
    plot for [i=1:n_series] $data index (i-1) using 1:5 with points linecolor rgb colour[i] linewidth 1.5 pointtype point[i] pointsize 1.1 notitle
}
unset multiplot
