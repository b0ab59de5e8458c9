# How deep tokens go, a histogram a model.
# $data, one block a model: 1 depth, 2 share of tokens in %
# deepest: the axis; mean[i]: mean depth, -1: unknown; unit[i]: what depth counts, and of how many images; columns: panels side by side
gap = 5
top = 1.2
eval panel_grid(n_series, columns)
unset key
set style fill solid 0.85 border linecolor rgb '#404040'
set boxwidth 0.8
set xrange [-0.6:deepest + 0.6]
set xtics 0, deepest > 16 ? 4 : deepest > 8 ? 2 : 1
set yrange [0:109]
set ytics 0, 25, 100
set ylabel '% of tokens'
do for [i=1:n_series] {
    set xlabel unit[i] . (mean[i] >= 0 ? sprintf(', mean %.2f', mean[i]) : '') noenhanced
    unset arrow
    set label 1 label[i] at graph 0, graph 1.06 left noenhanced
    if (mean[i] >= 0) {
        set arrow 1 from first mean[i], graph 0 to first mean[i], graph 1 nohead linecolor rgb '#404040' dashtype 2
    }
    plot $data index (i-1) using 1:2 with boxes linecolor rgb colour[i] notitle
}
unset multiplot
