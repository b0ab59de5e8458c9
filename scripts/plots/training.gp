# Training, what it did by epoch: learning rate, gradient norm, speed, executed MACs, memory; a line a model.
# $data, one block a run: 1 epoch, 2 learning rate, 3 gradient norm, 4 images/s, 5 executed GMACs of the epoch, 6 peak MiB; NaN: not
# measured. Peak memory is that of a step's tensors. n_measured[2..6]: how many points column i has
# x_step: epochs between tics
array panel[6] = ['', 'learning rate', 'gradient norm', 'images/s', 'GMACs an epoch', 'peak of a step, MiB']
eval panel_grid(5, 3)
set datafile missing 'NaN'
set xlabel 'epoch'
set xrange [0:*]
set xtics x_step
# the legend is drawn once, below
do for [c=2:6] {
    if (c > 2) { unset key }
    set ylabel panel[c] noenhanced
    if (n_measured[c] > 0) {
        set yrange [0:*]
        set format y '%g'
        plot for [i=1:n_series] $data index (i-1) using 1:c with linespoints linecolor rgb colour[i] linewidth 1.6 \
             dashtype dash[i] pointtype point[i] pointsize 0.6 title label[i]
    } else {
        set yrange [0:1]
        set format y ''
        set key inside center noenhanced
        plot 2 title 'not measured' with lines linecolor rgb '#808080'
        unset key
    }
}
unset multiplot
