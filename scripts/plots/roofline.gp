# Operations a second against operations a byte, a symbol a kind of operation, a colour a model.
# $data, two blocks a model: 1 operations a byte, 2 GFLOP/s, 3 kind; then 1, 2 of the whole model
# n_models; series n_models+1.. are the kinds; peak: GFLOP/s; roof[k]: GB/s, roof_name[k], n_roofs of them
set xlabel 'operations a byte read or written (logarithmic)'
set ylabel 'GFLOP/s (logarithmic)'
set logscale xy
set samples 300
set datafile missing 'NaN'
stats $data using 1:2 nooutput
x_low = 10**floor(log10(STATS_min_x))
x_high = 10**ceil(log10(1.01*STATS_max_x))
set xrange [x_low:x_high]
set yrange [10**floor(log10(STATS_min_y)):10**ceil(log10(1.2*peak))]
set label 100 sprintf('multiply-adds %.0f GFLOP/s', peak) at graph 0.98, first 1.25*peak right textcolor rgb '#606060'
smaller(a, b) = a < b ? a : b
do for [k=1:n_roofs] {
    at = smaller(1.5*x_low, 0.5*peak/roof[k])
    set label 100+k sprintf('%s %.0f GB/s', roof_name[k], roof[k]) at x_low*1.15, x_low*1.15*roof[k]*1.3 left rotate by 0 textcolor rgb '#606060' front
}
plot for [k=1:n_roofs] smaller(peak, roof[k]*x) with lines linecolor rgb '#9a9a9a' linewidth 1.1 dashtype k notitle, \
     for [i=1:n_models] NaN with points linecolor rgb colour[i] pointtype 5 pointsize 1.2 title label[i], \
     for [k=n_models+1:n_series] NaN with points linecolor rgb colour[k] pointtype point[k] pointsize 1.1 title label[k], \
     for [i=1:n_models] for [k=n_models+1:n_series] $data index (2*i-2) using 1:($3 == k-n_models ? $2 : NaN) with points \
         linecolor rgb colour[i] pointtype point[k] pointsize 1.1 notitle, \
     for [i=1:n_models] $data index (2*i-1) using 1:2 with points linecolor rgb colour[i] pointtype 6 pointsize 2.4 linewidth 2 notitle
