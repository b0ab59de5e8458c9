# Training: loss and accuracy by epoch, a line a model; symbols: test split, or held-out training images where a run has some;
# thin dotted: training batches.
# $data, one block a run: 1 epoch, 2 training loss, 3 test loss, 4 training top-1 %, 5 test top-1 %; NaN: not measured
# x_step: epochs between tics; y_low: where the accuracy axis starts
eval panels(2)
set datafile missing 'NaN'
set xlabel 'epoch'
set xrange [0:*]
set xtics x_step
set yrange [0:*]
set ylabel 'loss, nats'
plot for [i=1:n_series] $data index (i-1) using 1:2 with lines linecolor rgb colour[i] linewidth 1.2 dashtype 3 notitle, \
     for [i=1:n_series] $data index (i-1) using 1:3 with linespoints linecolor rgb colour[i] linewidth 1.6 \
         dashtype dash[i] pointtype point[i] pointsize 0.8 title label[i]
unset key
set yrange [y_low:*]
set ylabel accuracy_name(y_low)
plot for [i=1:n_series] $data index (i-1) using 1:4 with lines linecolor rgb colour[i] linewidth 1.2 dashtype 3 notitle, \
     for [i=1:n_series] $data index (i-1) using 1:5 with linespoints linecolor rgb colour[i] linewidth 1.6 \
         dashtype dash[i] pointtype point[i] pointsize 0.8 notitle
unset multiplot
