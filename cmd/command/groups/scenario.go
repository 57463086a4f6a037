package groups

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
)

// listed takes what the log says: its start or its end.
func (r resetting) listed(scope []session.Partition, which int64, complaint string) (offsets, error) {
	found, err := r.s.Offsets(r.ctx, scope, which)
	if err != nil {
		return nil, err
	}
	result := offsets{}
	for _, p := range scope {
		one, ok := found[p]
		if !ok || one.Err != nil {
			return nil, &session.Misuse{Text: fmt.Sprintf(complaint, p)}
		}
		result[p] = one.At
	}
	return result, nil
}

// shifted moves on, or back, from what the group has committed.
func (r resetting) shifted(scope []session.Partition) (offsets, error) {
	commits, err := committed(r.ctx, r.s, r.group)
	if err != nil {
		return nil, err
	}
	want := offsets{}
	for _, p := range scope {
		one, ok := commits[p]
		if !ok {
			return nil, &session.Misuse{Text: fmt.Sprintf("Cannot shift offset for partition %v since there is no current committed offset", p)}
		}
		want[p] = one.at + *r.o.ShiftBy
	}
	return r.withinLog(want)
}

// atTime is the first record at or after t; where there is none, the end.
func (r resetting) atTime(scope []session.Partition, t time.Time) (offsets, error) {
	found, err := r.s.Offsets(r.ctx, scope, t.UnixMilli())
	if err != nil {
		return nil, err
	}
	result := offsets{}
	var later []session.Partition
	for _, p := range scope {
		one := found[p]
		switch {
		case one.Err != nil:
			return nil, session.Refused(one.Err, "")
		case one.At >= 0:
			result[p] = one.At
		default:
			fmt.Fprintf(r.s.Out, "\nWarn: Partition %d from topic %s is empty. Falling back to latest known offset.\n", p.Partition, p.Topic)
			later = append(later, p)
		}
	}
	ends, err := r.listed(later, session.Latest, "Error getting offset by timestamp of topic partition: %v")
	maps.Copy(result, ends)
	return result, err
}

// current keeps what is committed; where nothing is, the end.
func (r resetting) current(scope []session.Partition) (offsets, error) {
	commits, err := committed(r.ctx, r.s, r.group)
	if err != nil {
		return nil, err
	}
	result := offsets{}
	var without []session.Partition
	for _, p := range scope {
		if one, ok := commits[p]; ok {
			result[p] = one.at
		} else {
			without = append(without, p)
		}
	}
	ends, err := r.listed(without, session.Latest, "Error getting ending offset of topic partition: %v")
	maps.Copy(result, ends)
	return result, err
}

// fromFile takes the offsets from a file that Export wrote.
func (r resetting) fromFile() (offsets, error) {
	text, err := readFile(r.o.FromFile)
	if err != nil {
		return nil, err
	}
	all, err := parsePlan(text, r.o.Groups)
	if err != nil {
		return nil, fmt.Errorf("reset plan %s: %w", r.o.FromFile, err)
	}
	mine, ok := all[r.group]
	if !ok {
		fmt.Fprintf(r.s.Out, "\nError: No reset plan for group %s found\n", r.group)
		return nil, nil
	}
	return r.withinLog(mine)
}

// withinLog moves offsets that lie outside the log to its nearer end.
func (r resetting) withinLog(want offsets) (offsets, error) {
	scope := slices.SortedFunc(maps.Keys(want), session.ComparePartitions)
	starts, err := r.s.Offsets(r.ctx, scope, session.Earliest)
	if err != nil {
		return nil, err
	}
	ends, err := r.s.Offsets(r.ctx, scope, session.Latest)
	if err != nil {
		return nil, err
	}
	result := offsets{}
	for _, p := range scope {
		if ends[p].Err != nil {
			return nil, session.Refused(ends[p].Err, "")
		}
		at := want[p]
		if end := ends[p].At; at > end {
			fmt.Fprintf(r.s.Err, "WARN New offset (%d) is higher than latest offset for topic partition %v. Value will be set to %d\n", at, p, end)
			at = end
		} else if start := starts[p].At; at < start {
			fmt.Fprintf(r.s.Err, "WARN New offset (%d) is lower than earliest offset for topic partition %v. Value will be set to %d\n", at, p, start)
			at = start
		}
		result[p] = at
	}
	return result, nil
}
