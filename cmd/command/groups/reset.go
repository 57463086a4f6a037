package groups

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ResetOptions say which offsets of which groups to reset, and where to. Exactly
// one scenario is set.
type ResetOptions struct {
	Groups []string
	All    bool // every group, instead of Groups

	Topics    []string // topic, or topic:0,1
	AllTopics bool     // those that the group has committed offsets of

	ToEarliest, ToLatest, ToCurrent bool
	ToOffset, ShiftBy               *int64
	ToDateTime, ByDuration          string
	FromFile                        string

	Execute bool      // commit the offsets; otherwise they are only shown
	Export  bool      // print CSV
	Now     time.Time // what ByDuration counts from
}

// Reset makes the plan, commits it when told to, and prints it.
func Reset(ctx context.Context, s *session.Session, o ResetOptions) error {
	names, err := scope(ctx, s, o.Groups, o.All)
	if err != nil {
		return err
	}
	result := plan{}
	failed := false
	for _, group := range names {
		state, err := stateOf(ctx, s, group)
		if err != nil {
			return err
		}
		if state != "Empty" && state != "Dead" {
			fmt.Fprintf(s.Out, "\nError: Assignments can only be reset if the group '%s' is inactive, but the current state is %s.\n", group, state)
			result[group] = nil
			failed = true
			continue
		}
		r := resetting{ctx, s, &o, group}
		if result[group], err = r.offsets(); err != nil {
			return err
		}
		if o.Execute {
			if err := r.commit(result[group]); err != nil {
				return err
			}
		}
	}
	if o.Export {
		result.export(s.Out, len(o.Groups) == 1)
	} else {
		result.print(s.Out)
	}
	if failed {
		return session.ErrReported
	}
	return nil
}

// stateOf is a group's state; a group that nobody knows is dead.
func stateOf(ctx context.Context, s *session.Session, group string) (string, error) {
	found, err := describe(ctx, s, []string{group})
	if errors.Is(err, kerr.GroupIDNotFound) || err == nil && len(found) == 0 {
		return "Dead", nil
	}
	if err != nil {
		return "", err
	}
	return found[0].state, nil
}

// resetting is the reset of one group.
type resetting struct {
	ctx   context.Context
	s     *session.Session
	o     *ResetOptions
	group string
}

type offsets = map[session.Partition]int64

// offsets is where the group's partitions shall be.
func (r resetting) offsets() (offsets, error) {
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	if err := r.check(scope); err != nil {
		return nil, err
	}
	switch o := r.o; {
	case o.ToOffset != nil:
		want := offsets{}
		for _, p := range scope {
			want[p] = *o.ToOffset
		}
		return r.withinLog(want)
	case o.ToEarliest:
		return r.listed(scope, session.Earliest, "Error getting starting offset of topic partition: %v")
	case o.ToLatest:
		return r.listed(scope, session.Latest, "Error getting ending offset of topic partition: %v")
	case o.ShiftBy != nil:
		return r.shifted(scope)
	case o.ToDateTime != "":
		t, err := parseDateTime(o.ToDateTime)
		if err != nil {
			return nil, err
		}
		return r.atTime(scope, t)
	case o.ByDuration != "":
		d, err := parseDuration(o.ByDuration)
		if err != nil {
			return nil, err
		}
		return r.atTime(scope, o.Now.Add(-d))
	case o.FromFile != "":
		return r.fromFile()
	case o.ToCurrent:
		return r.current(scope)
	}
	return nil, &session.Misuse{Text: "Option '[reset-offsets]' requires one of the following scenarios: " +
		"[[to-offset], [shift-by], [to-datetime], [by-duration], [to-earliest], [to-latest], [to-current], [from-file]]"}
}

// scope are the partitions that the reset is about.
func (r resetting) scope() ([]session.Partition, error) {
	if r.o.AllTopics {
		commits, err := committed(r.ctx, r.s, r.group)
		return slices.SortedFunc(maps.Keys(commits), session.ComparePartitions), err
	}
	if len(r.o.Topics) == 0 && r.o.FromFile == "" {
		return nil, &session.Misuse{Text: "One of the reset scopes should be defined: --all-topics, --topic."}
	}
	named, whole, err := parseTopics(r.o.Topics)
	if err != nil || len(whole) == 0 {
		return named, err
	}
	topics, err := r.s.Topics(r.ctx, whole...)
	if err != nil {
		return nil, err
	}
	for _, name := range whole {
		if topics[name].Err != nil {
			return nil, session.Refused(topics[name].Err, "")
		}
		for _, p := range topics[name].Partitions {
			named = append(named, session.Partition{Topic: name, Partition: p.Partition})
		}
	}
	return named, nil
}

// parseTopics reads topic:0,1 into partitions; topics without any stay whole.
func parseTopics(args []string) (named []session.Partition, whole []string, err error) {
	for _, arg := range args {
		topic, list, ok := strings.Cut(arg, ":")
		if !ok {
			whole = append(whole, arg)
			continue
		}
		if strings.Contains(list, ":") || list == "" {
			return nil, nil, &session.Misuse{Text: fmt.Sprintf("Invalid topic arg '%s', expected topic name and partitions", arg)}
		}
		for one := range strings.SplitSeq(list, ",") {
			n, err := strconv.ParseInt(one, 10, 32)
			if err != nil {
				return nil, nil, &session.Misuse{Text: fmt.Sprintf("Invalid partition '%s' specified in topic arg '%s''", one, arg)}
			}
			named = append(named, session.Partition{Topic: topic, Partition: int32(n)})
		}
	}
	return named, whole, nil
}

// check refuses partitions that do not exist or have no leader.
func (r resetting) check(scope []session.Partition) error {
	if len(scope) == 0 {
		return nil
	}
	var names []string
	for _, p := range scope {
		names = append(names, p.Topic)
	}
	topics, err := r.s.Topics(r.ctx, slices.Compact(slices.Sorted(slices.Values(names)))...)
	if err != nil {
		return err
	}
	var absent, leaderless []string
	for _, p := range scope {
		if err := topics[p.Topic].Err; err != nil {
			return fmt.Errorf("java.util.concurrent.ExecutionException: %s", session.Exception(err))
		}
		all := topics[p.Topic].Partitions
		i := slices.IndexFunc(all, func(one session.TopicPartition) bool { return one.Partition == p.Partition })
		if i < 0 {
			absent = append(absent, p.String())
		} else if all[i].Leader < 0 {
			leaderless = append(leaderless, p.String())
		}
	}
	switch {
	case absent != nil:
		return fmt.Errorf("The partitions \"%s\" do not exist", strings.Join(absent, ","))
	case leaderless != nil:
		return fmt.Errorf("The partitions \"%s\" have no leader", strings.Join(leaderless, ","))
	}
	return nil
}

// commit makes the offsets the group's.
func (r resetting) commit(want offsets) error {
	commits := kadm.Offsets{}
	for p, at := range want {
		commits.AddOffset(p.Topic, p.Partition, at, -1)
	}
	if len(commits) == 0 {
		return nil
	}
	answers, err := r.s.Admin.CommitOffsets(r.ctx, r.group, commits)
	if err != nil {
		return fmt.Errorf("commit the offsets of group %s: %w", r.group, err)
	}
	for _, one := range answers.Sorted() {
		if one.Err != nil {
			return session.Refused(one.Err, "")
		}
	}
	return nil
}

func readFile(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the reset plan: %w", err)
	}
	return string(text), nil
}
