package config

import (
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/setting"
)

// GroupKey is a setting that one consumer group can have for itself: a time, in
// milliseconds, between two limits that the broker has.
type GroupKey struct {
	Name                  string
	standard, least, most *setting.Duration
	leastName, mostName   string
	doc                   string
}

// The settings of a group.
var (
	GroupSession = &GroupKey{
		"consumer.session.timeout.ms", ConsumerSession, ConsumerMinSession, ConsumerMaxSession,
		"group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms",
		"Time without a heartbeat after which a member of the group is taken for dead.",
	}
	GroupHeartbeat = &GroupKey{
		"consumer.heartbeat.interval.ms", ConsumerHeartbeat, ConsumerMinHeartbeat, ConsumerMaxHeartbeat,
		"group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms",
		"Time between two heartbeats of a member of the group.",
	}
	GroupAssignmentInterval = &GroupKey{
		"consumer.assignment.interval.ms", ConsumerAssignment, ConsumerMinAssignment, ConsumerMaxAssignment,
		"group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms",
		"Least time between two assignments of the group.",
	}
	groupKeys = []*GroupKey{GroupAssignmentInterval, GroupHeartbeat, GroupSession} // by name
)

// GroupDuration is what a group was given; ok is false when it was given nothing.
func GroupDuration(given map[string]string, k *GroupKey) (d time.Duration, ok bool) {
	text, ok := given[k.Name]
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 32)
	return time.Duration(n) * time.Millisecond, err == nil
}

// CheckGroup judges a value that a group is about to be given. The error is a *Refusal.
func CheckGroup(v *setting.Values, name, value string) error {
	i := slices.IndexFunc(groupKeys, func(k *GroupKey) bool { return k.Name == name })
	if i < 0 {
		return refuse(kerr.InvalidConfig, "Unknown group config name: %s", name)
	}
	k := groupKeys[i]
	n, err := strconv.ParseInt(value, 10, 32)
	d := time.Duration(n) * time.Millisecond
	switch {
	case err != nil:
		return refuse(kerr.InvalidConfig, "Invalid value %s for configuration %s: Not a number of type INT", value, name)
	case d < k.least.Of(v):
		return refuse(kerr.InvalidConfig, "%s must be greater than or equal to %s", name, k.leastName)
	case d > k.most.Of(v):
		return refuse(kerr.InvalidConfig, "%s must be less than or equal to %s", name, k.mostName)
	}
	return nil
}

// DescribeGroup lists the settings of a group that was given some: those named, or all
// when names is nil.
func DescribeGroup(v *setting.Values, given map[string]string, names []string) []Entry {
	var all []Entry
	for _, k := range groupKeys {
		if names != nil && !slices.Contains(names, k.Name) {
			continue
		}
		text := strconv.FormatInt(k.standard.Of(v).Milliseconds(), 10)
		e := Entry{Name: k.Name, Value: &text, Source: setting.SourceDefault, Type: setting.TypeInt, Doc: k.doc}
		if own, ok := given[k.Name]; ok {
			e.Value, e.Source = &own, setting.SourceGroup
			e.Synonyms = []Synonym{{k.Name, &own, setting.SourceGroup}}
		}
		e.Synonyms = append(e.Synonyms, Synonym{"group." + k.Name, &text, setting.SourceDefault}) // what every group has
		all = append(all, e)
	}
	return all
}
