package txn

import (
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/regular"
)

// Describe tells of one id.
func (c *Coordinator) Describe(id string) kmsg.DescribeTransactionsResponseTransactionState {
	a := kmsg.NewDescribeTransactionsResponseTransactionState()
	a.TransactionalID = id
	err := c.refusal()
	t := c.ids[id]
	switch {
	case err != nil:
	case id == "":
		err = kerr.InvalidRequest
	case t == nil || t.epoch < 0:
		err = kerr.TransactionalIDNotFound
	}
	if err != nil {
		a.ErrorCode = err.Code
		return a
	}
	a.State, a.TimeoutMillis, a.StartTimestamp = t.state.String(), t.timeout, t.started
	a.ProducerID, a.ProducerEpoch = t.producer, t.epoch
	for _, p := range t.partitions {
		if n := len(a.Topics); n == 0 || a.Topics[n-1].Topic != p.Topic {
			a.Topics = append(a.Topics, kmsg.DescribeTransactionsResponseTransactionStateTopic{Topic: p.Topic})
		}
		topic := &a.Topics[len(a.Topics)-1]
		topic.Partitions = append(topic.Partitions, p.Index)
	}
	return a
}

// Filter chooses among ids.
type Filter struct {
	states    map[State]bool
	unknown   []string
	producers map[int64]bool
	longer    int64 // milliseconds; negative: all
	pattern   *regexp.Regexp
}

// mostCost is how broad a pattern may be, as regular.Compile has it: each letter of each id may have to be tried with all
// of it, and others wait for the same shards.
const mostCost = 200

// NewFilter reads the filters of a ListTransactions.
func NewFilter(q *kmsg.ListTransactionsRequest) (*Filter, *kerr.Error) {
	f := &Filter{states: map[State]bool{}, producers: map[int64]bool{}, longer: q.DurationFilterMillis}
	for _, id := range q.ProducerIDFilters {
		f.producers[id] = true
	}
	if q.Version < 1 {
		f.longer = -1
	}
	told := map[string]bool{}
	for _, name := range q.StateFilters {
		if i := slices.Index(stateNames[:], name); i >= 0 {
			f.states[State(i)] = true
		} else if !told[name] {
			told[name] = true
			f.unknown = append(f.unknown, name)
		}
	}
	if q.TransactionalIDPattern != nil && *q.TransactionalIDPattern != "" {
		p, cost, err := regular.Compile(*q.TransactionalIDPattern)
		if err != nil || cost > mostCost {
			return nil, kerr.InvalidRegularExpression
		}
		f.pattern = p
	}
	return f, nil
}

// Unknown are the names in the filter that are no state's.
func (f *Filter) Unknown() []string { return f.unknown }

func (f *Filter) takes(t *transaction, now int64) bool {
	switch {
	case t.epoch < 0:
		return false
	case len(f.states)+len(f.unknown) > 0 && !f.states[t.state]:
		return false
	case len(f.producers) > 0 && !f.producers[t.producer]:
		return false
	case f.longer >= 0 && now-t.started <= f.longer:
		return false
	}
	return f.pattern == nil || f.pattern.MatchString(t.id)
}

// List tells which ids there are.
func (c *Coordinator) List(now time.Time, f *Filter) (all []kmsg.ListTransactionsResponseTransactionState, _ *kerr.Error) {
	if err := c.refusal(); err != nil {
		return nil, err
	}
	for _, t := range c.sorted() {
		if f.takes(t, now.UnixMilli()) {
			all = append(all, kmsg.ListTransactionsResponseTransactionState{
				TransactionalID: t.id, ProducerID: t.producer, TransactionState: t.state.String(),
			})
		}
	}
	return all, nil
}
