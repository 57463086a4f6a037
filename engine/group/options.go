package group

import (
	"math"
	"time"

	"github.com/millrace/millrace/engine/group/assign"
)

// Options are the settings of a Coordinator. The zero value has Kafka's defaults.
type Options struct {
	// SessionMin is the least session timeout that a member may ask for
	// (group.min.session.timeout.ms). Zero: 6 s.
	SessionMin time.Duration
	// SessionMax is the longest session timeout that a member may ask for
	// (group.max.session.timeout.ms). Zero: 30 min.
	SessionMax time.Duration
	// InitialDelay is how long the first rebalance of an empty group waits for more
	// members (group.initial.rebalance.delay.ms). Zero: 3 s. Negative: not at all.
	InitialDelay time.Duration
	// NewMember is how long a member that never completed a rebalance may wait in
	// JoinGroup before it is taken for dead. Zero: 5 min.
	NewMember time.Duration
	// MaxSize is the most members that a group may have (group.max.size). Zero: any number.
	MaxSize int
	// MetadataMax is the longest metadata string of a committed offset
	// (offset.metadata.max.bytes), counted in UTF-16 units as Kafka does. Zero: 4096.
	MetadataMax int
	// Retention is how long offsets are kept once their group is empty or no longer
	// subscribed (offsets.retention.minutes). Zero: 7 days.
	Retention time.Duration
	// CheckInterval is the least time between two looks for expired offsets in one
	// group (offsets.retention.check.interval.ms). Zero: 10 min.
	CheckInterval time.Duration
	// ConsumerMaxSize is the most members that a consumer group may have
	// (group.consumer.max.size). Zero: any number.
	ConsumerMaxSize int
	// ConsumerSession is how long a member of a consumer group may be silent
	// (group.consumer.session.timeout.ms and its limits). Zero: 45 s, 45 s, 60 s.
	ConsumerSession Bounds
	// ConsumerHeartbeat is how often it shall send heartbeats
	// (group.consumer.heartbeat.interval.ms and its limits). Zero: 5 s, 5 s, 15 s.
	ConsumerHeartbeat Bounds
	// AssignmentInterval is the least time between two target assignments of a group
	// (group.consumer.assignment.interval.ms and its limits). Zero: 1 s, 0, 15 s.
	AssignmentInterval Bounds
	// Assignors are the assignors that members may ask for, the default first
	// (group.consumer.assignors). Nil: uniform, range.
	Assignors []string
	// Migration says how groups may change their kind (group.consumer.migration.policy).
	Migration Migration
	// AppendBytes is about how many bytes of records one call of Env.Append may carry
	// before the rest goes into another one. Zero: 512 KiB.
	AppendBytes int
}

// Bounds are the default of a setting that a group can have for itself, and its limits.
type Bounds struct{ Value, Min, Max time.Duration }

type bounds struct{ value, min, max int64 }

func (b Bounds) orElse(value, least, most time.Duration) bounds {
	if b == (Bounds{}) {
		b = Bounds{value, least, most}
	}
	return bounds{b.Value.Milliseconds(), b.Min.Milliseconds(), b.Max.Milliseconds()}
}

// limits are the Options in the units that decisions are made in.
type limits struct {
	sessionMin, sessionMax         int64 // milliseconds, as all times here
	initialDelay, newMember        int64
	retention, checkInterval       int64
	maxSize, metadataMax, appendTo int

	consumerMaxSize                                        int
	consumerSession, consumerHeartbeat, assignmentInterval bounds
	assignors                                              []string
	migration                                              Migration
}

func (o Options) limits() limits {
	return limits{
		sessionMin:    millisOr(o.SessionMin, 6*time.Second),
		sessionMax:    millisOr(o.SessionMax, 30*time.Minute),
		initialDelay:  max(millisOr(o.InitialDelay, 3*time.Second), 0),
		newMember:     millisOr(o.NewMember, 5*time.Minute),
		retention:     millisOr(o.Retention, 7*24*time.Hour),
		checkInterval: millisOr(o.CheckInterval, 10*time.Minute),
		maxSize:       or(o.MaxSize, math.MaxInt),
		metadataMax:   or(o.MetadataMax, 4096),
		appendTo:      or(o.AppendBytes, 512<<10),

		consumerMaxSize:    or(o.ConsumerMaxSize, math.MaxInt),
		consumerSession:    o.ConsumerSession.orElse(45*time.Second, 45*time.Second, time.Minute),
		consumerHeartbeat:  o.ConsumerHeartbeat.orElse(5*time.Second, 5*time.Second, 15*time.Second),
		assignmentInterval: o.AssignmentInterval.orElse(time.Second, 0, 15*time.Second),
		assignors:          assignorsOr(o.Assignors),
		migration:          o.Migration,
	}
}

// assignorsOr leaves out what is not known; when nothing is left, the default remains.
func assignorsOr(given []string) []string {
	var known []string
	for _, name := range given {
		if assign.Named(name) != nil {
			known = append(known, name)
		}
	}
	if known == nil {
		return []string{"uniform", "range"}
	}
	return known
}

func millisOr(d, otherwise time.Duration) int64 { return or(d, otherwise).Milliseconds() }

func or[T comparable](given, otherwise T) T {
	var zero T
	if given == zero {
		return otherwise
	}
	return given
}
