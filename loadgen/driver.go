package loadgen

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/results"
)

// Names of the drivers.
const (
	DriverOwn = "own"
	DriverKgo = "kgo"
)

// driver makes the load of one phase.
type driver interface {
	// start prepares everything, so that run only has to begin. The recorders that it
	// makes, one per goroutine that records, deliver to the job's channel.
	start(ctx context.Context, j *job) error
	// run makes the load and returns when the phase is over. Every recorder is finished
	// when it returns, whatever the error.
	run(ctx context.Context) error
	// share is how busy the busiest load-generating thread was, 0 to 1, or shareOfAll.
	share() float64
	close() error
}

// shareOfAll asks for the process's share of all processors instead of a thread's of one.
const shareOfAll = -1

// job is one phase that is being run.
type job struct {
	*Phase
	workload  *Workload
	target    *target
	clock     *clock
	measured  int64 // end of the warm-up
	stop      int64 // nothing is sent from here on
	intervals chan *interval
	recorders []*recorder
	budget    *atomic.Int64 // bytes of record values that may still be sent; nil: no bound
}

func newJob(w *Workload, t *target, p *Phase) *job {
	j := &job{Phase: p, workload: w, target: t, clock: new(clock), intervals: make(chan *interval, 64)}
	j.measured, j.stop = int64(p.Warmup), int64(p.Warmup+p.Duration)
	if p.Bytes > 0 {
		j.budget = new(atomic.Int64)
		j.budget.Store(p.Bytes)
	}
	return j
}

// firstSecond is the index of the first interval: negative when there is a warm-up.
func (j *job) firstSecond() int { return -int((j.measured + second - 1) / second) }

// recorder makes the recorder of one more goroutine.
func (j *job) recorder(records ...kind) *recorder {
	r := newRecorder(len(j.recorders), j.measured, j.intervals, records...)
	j.recorders = append(j.recorders, r)
	return r
}

// produceKinds are the latencies that a producer of this phase records.
func (j *job) produceKinds() []kind {
	if j.Rate == 0 {
		return []kind{service}
	}
	return []kind{response, service, sendLag, ownLag}
}

func (j *job) produces() bool { return j.Do == results.Produce || j.Do == results.EndToEnd }
func (j *job) consumes() bool { return j.Do == results.Consume || j.Do == results.EndToEnd }

// pace is the arrival of records at one connection that has so much of all records.
func (j *job) pace(share float64, batch, connection, connections int, seed uint64) Pace {
	return Pace{
		Rate: j.Rate * share, From: j.Ramp.From * share, Ramp: j.Ramp.Over, Span: j.Warmup + j.Duration,
		Poisson: j.Spacing == SpacePoisson, Seed: seed, ByRecord: j.Arrival == ArriveRecord, Batch: batch, Linger: j.Linger,
		Connection: connection, Connections: connections,
	}
}

// errorName is what a result calls an error code.
func errorName(code int16) string {
	if code == codeUnanswered {
		return "UNANSWERED"
	}
	if err := kerr.TypedErrorForCode(code); err != nil {
		return err.Message
	}
	return fmt.Sprintf("ERROR_%d", code)
}
