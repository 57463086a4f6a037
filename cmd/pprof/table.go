package pprof

import (
	"fmt"
	"io"
	"strconv"

	"github.com/google/pprof/profile"

	"github.com/millrace/millrace/cmd/tuning"
)

// table prints what costs most: by a label, if asked for, and by function.
func (o *options) table(out io.Writer, p, base *profile.Profile) error {
	if o.by != "" && base == nil {
		r := tuning.Rank(p)
		fmt.Fprintf(out, "%12s %9s  %s\n", r.Type, "share", o.by)
		list := r.Labels[o.by]
		for _, s := range list[:min(o.top, len(list))] {
			fmt.Fprintf(out, "%12s %7.1f %%  %s\n", amount(s.Value, r.Unit), 100*s.Part, s.Name)
		}
		fmt.Fprintln(out)
	}
	whole := *o
	whole.by = "" // the label has a table of its own
	return whole.drive(p, base, out, map[string]string{"top": "true", "nodecount": strconv.Itoa(o.top), "output": "table"}, out, nil)
}
