package groups

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/millrace/millrace/cmd/command/session"
)

// DescribeOptions say which groups to describe and how.
type DescribeOptions struct {
	Groups []string
	All    bool // every group, instead of Groups
	// Members lists the members, State the groups themselves; neither: the
	// partitions with their offsets and lag.
	Members, State bool
	Verbose        bool
}

// Describe prints what it is asked for, group by group.
func Describe(ctx context.Context, s *session.Session, o DescribeOptions) error {
	names, err := scope(ctx, s, o.Groups, o.All)
	if err != nil {
		return err
	}
	found, err := describe(ctx, s, names)
	if err != nil {
		return err
	}
	p := printer{s.Out, s.Err}
	for _, group := range found {
		switch {
		case o.Members:
			p.members(group, o.Verbose)
		case o.State:
			p.state(group, o.Verbose)
		default:
			rows, err := rows(ctx, s, group)
			if err != nil {
				return err
			}
			p.offsets(group, rows, o.Verbose)
		}
	}
	return nil
}

// scope is the list of groups that a command is about.
func scope(ctx context.Context, s *session.Session, groups []string, all bool) ([]string, error) {
	if all {
		return Names(ctx, s)
	}
	return slices.Compact(slices.Sorted(slices.Values(groups))), nil
}

const missing = "-" // in a column for which there is nothing to print

// row is a partition that a group consumes or has committed an offset for. Its
// fields are texts already, for a missing one prints like any other.
type row struct {
	session.Partition
	epoch, current, end, lag string
	consumer, host, client   string
}

// rows are the partitions of a group: those of each member, the busiest member
// first, then those that nobody has.
func rows(ctx context.Context, s *session.Session, d description) ([]row, error) {
	commits, err := committed(ctx, s, d.group)
	if err != nil {
		return nil, err
	}
	left := maps.Clone(commits)
	members := slices.Clone(d.members)
	slices.SortStableFunc(members, func(a, b member) int { return cmp.Compare(len(b.assigned), len(a.assigned)) })
	var all []row
	for _, m := range members {
		for _, p := range m.assigned {
			all = append(all, row{Partition: p, consumer: m.id, host: m.host, client: m.client})
			delete(left, p)
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(left), session.ComparePartitions) {
		all = append(all, row{Partition: p, consumer: missing, host: missing, client: missing})
	}
	partitions := make([]session.Partition, len(all))
	for i := range all {
		partitions[i] = all[i].Partition
	}
	ends, err := s.Offsets(ctx, partitions, session.Latest)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].fill(commits, ends)
	}
	return all, nil
}

// fill adds the numbers. A partition without a leader, or one that was deleted,
// has no end and so no lag.
func (r *row) fill(commits map[session.Partition]commit, ends map[session.Partition]session.Offset) {
	r.epoch, r.current, r.end, r.lag = missing, missing, missing, missing
	one, known := commits[r.Partition]
	if known {
		r.current = strconv.FormatInt(one.at, 10)
		if one.epoch >= 0 {
			r.epoch = strconv.Itoa(int(one.epoch))
		}
	}
	end, ok := ends[r.Partition]
	if !ok || end.Err != nil || end.At < 0 {
		return
	}
	r.end = strconv.FormatInt(end.At, 10)
	if known {
		r.lag = strconv.FormatInt(end.At-one.at, 10)
	}
}
