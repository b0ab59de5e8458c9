# Where the time of one image goes, a bar a run, by part of the model (blocks added up).
# $data, one block a part: 1 from ms, 2 to ms, 3 bar (0 at the top), 4 share of the bar in %
# The program puts the name of each bar above it. ink[i]: colour of text on colour[i]; longest: ms of the longest bar,
# of which a part must be so much for its share to fit in.
set lmargin 2
set xlabel 'milliseconds an image'
set xrange [0:*]
set yrange [n_bars - 0.55:-0.75]
set tics scale 0 nomirror
unset ytics
set grid noytics
set style fill solid 1 border linecolor rgb '#ffffff'
plot for [i=1:n_series] $data index (i-1) using (($1+$2)/2):3:1:2:($3-0.26):($3+0.26) with boxxyerror \
         linecolor rgb colour[i] title label[i], \
     for [i=1:n_series] $data index (i-1) using (($1+$2)/2):($2 - $1 >= (narrow ? 0.14 : 0.06)*longest ? $3 : NaN):(sprintf('%.0f %%', $4)) with labels \
         textcolor rgb ink[i] notitle
