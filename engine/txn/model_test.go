package txn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/batch"
)

// pair is what a producer is known by.
type pair struct {
	id    int64
	epoch int16
}

// world is an Env in which everything may be late, lost, or come again after a restart. It keeps no log, but what a
// start from the log would find, told, and judges every record and every answer by it.
type world struct {
	t       *testing.T
	r       *rand.Rand
	o       Options
	c, told *Coordinator
	now     time.Time
	drawn   int64
	life    int32
	appends []appending
	draws   []func(int64, error)
	marks   []mark

	pending int                           // requests that are not answered
	given   map[string][]pair             // all that anybody was given
	taken   map[string]int                // how often somebody new took the id over
	turn    map[pair]int                  // taken, when it was given
	commits map[pair]bool                 // who has asked for a commit
	ended   map[string]map[Partition]bool // where the marker of the last decision is, or is of no use
}

type appending struct {
	r    Record
	done func(error)
}

func (w *world) Append(r Record, done func(error)) { w.appends = append(w.appends, appending{r, done}) }

func (w *world) ProducerID(done func(int64, error)) { w.draws = append(w.draws, done) }

func (w *world) Epoch() int32 { return w.life }

func (w *world) Mark(m batch.Marker, bumped bool, to Partition, done func(error)) {
	id, t := w.holder(m.ProducerID, m.ProducerEpoch)
	if id == "" || m.Commit != (t.state == PrepareCommit) || !subset(t.partitions, []Partition{to}) {
		w.t.Errorf("a marker %+v for %v, which nobody has decided", m, to)
	}
	w.marks = append(w.marks, mark{m, bumped, to, done})
}

// holder is who has decided, as far as the log knows, under this id and epoch.
func (w *world) holder(producer int64, epoch int16) (string, *transaction) {
	for id, t := range w.told.ids {
		if t.state.preparing() && t.producer == producer && t.epoch == epoch {
			return id, t
		}
	}
	return "", nil
}

// nexts are the states that may follow each.
var nexts = map[State][]State{
	Empty: {Empty, Ongoing, PrepareAbort}, CompleteCommit: {Empty, Ongoing, PrepareAbort}, CompleteAbort: {Empty, Ongoing, PrepareAbort},
	Ongoing: {Ongoing, PrepareCommit, PrepareAbort}, PrepareCommit: {CompleteCommit}, PrepareAbort: {CompleteAbort},
}

// log judges a record that is in the log from now on, by the one before it.
func (w *world) log(r Record) {
	var key kmsg.TxnMetadataKey
	if err := key.ReadFrom(r.Key); err != nil {
		w.t.Fatal(err)
	}
	id := key.TransactionalID
	was := w.told.ids[id]
	if err := w.told.Replay(r); err != nil {
		w.t.Errorf("a start cannot read %s: %v", id, err)
		return
	}
	is := w.told.ids[id]
	wrong := func(what string) { w.t.Errorf("%s: %s\nwas %+v\nis  %+v", id, what, was, is) }
	switch {
	case is == nil && (was == nil || was.state.holds()):
		wrong("is forgotten")
	case is == nil:
	case was == nil && (is.state != Empty || is.epoch != 0):
		wrong("begins as no id does")
	case was == nil:
	case !slices.Contains(nexts[was.state], is.state):
		wrong("goes where no way leads")
	case is.producer < was.producer || is.producer == was.producer && is.epoch < was.epoch || is.producer > was.producer && is.epoch != 0:
		wrong("goes back")
	case is.producer != was.producer && was.epoch < exhausted:
		wrong("has another producer id, and epochs left")
	case is.state == Ongoing && is.epoch != was.epoch:
		wrong("gets an epoch on its way")
	case was.state == Ongoing && !subset(is.partitions, was.partitions):
		wrong("has lost a partition")
	case is.state == PrepareCommit && !w.commits[pair{was.producer, was.epoch}]:
		wrong("is committed, and its producer has not asked for that")
	case was.state.preparing() && slices.ContainsFunc(was.partitions, func(p Partition) bool { return !w.ended[id][p] }):
		wrong("is complete before all its markers are written")
	}
	if is != nil && is.state.preparing() {
		w.ended[id] = map[Partition]bool{}
	}
}

// answer notes an answer; a good one must be what the log says.
func (w *world) answer(id string, what string, err *kerr.Error, holds func(t *transaction) bool) {
	w.pending--
	if t := w.told.ids[id]; err == nil && (t == nil || !holds(t)) {
		w.t.Errorf("%s of %s was answered, and the log has %+v", what, id, t)
	}
}

// current reports whether p is who may go on with an id, which nobody has taken over since p was given.
func (w *world) current(t *transaction, p pair) bool {
	return p == pair{t.producer, t.epoch} && w.turn[p] == w.taken[t.id]
}

func (w *world) give(id string, p pair, turn int) {
	if before, was := w.turn[p]; p.epoch < 0 || p.epoch == lastEpoch || was && before != turn {
		w.t.Errorf("%s: %v was given, in turn %d, and before in turn %d", id, p, turn, before)
	}
	w.given[id] = append(w.given[id], p)
	w.turn[p] = turn
}

func (w *world) init(id string, p pair, expects bool) {
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionalID, q.TransactionTimeoutMillis = &id, 60_000
	if expects {
		q.ProducerID, q.ProducerEpoch = p.id, p.epoch
	}
	w.c.InitProducerID(w.now, q, func(producer int64, epoch int16, err *kerr.Error) {
		got := pair{producer, epoch}
		w.answer(id, "an InitProducerID", err, func(t *transaction) bool {
			return t.state == Empty && got == pair{t.producer, t.epoch} && epoch < lastEpoch
		})
		if err == nil {
			if !expects {
				w.taken[id]++
			}
			w.give(id, got, w.taken[id])
		}
	})
}

func (w *world) add(id string, p pair, version int8, patiently bool) {
	partitions := []Partition{{string(rune('a' + w.r.IntN(3))), int32(w.r.IntN(2))}}
	f := w.c.Add
	if patiently {
		f = w.c.AddPatiently
	}
	f(w.now, Producer{id, p.id, p.epoch, version}, partitions, func(err *kerr.Error) {
		w.answer(id, fmt.Sprint("an Add of ", p), err, func(t *transaction) bool {
			return w.current(t, p) && t.state == Ongoing && subset(t.partitions, partitions)
		})
	})
}

func (w *world) verify(id string, p pair) {
	partitions := []Partition{{string(rune('a' + w.r.IntN(3))), int32(w.r.IntN(2))}}
	w.answer(id, "a Verify", w.c.Verify(Producer{id, p.id, p.epoch, 0}, partitions)[0], func(t *transaction) bool {
		return w.current(t, p) && t.state == Ongoing && subset(t.partitions, partitions)
	})
}

func (w *world) end(id string, p pair, version int8, commit bool) {
	if commit {
		w.commits[p] = true
	}
	w.c.End(w.now, Producer{id, p.id, p.epoch, version}, commit, func(producer int64, epoch int16, err *kerr.Error) {
		got := pair{producer, epoch}
		w.answer(id, fmt.Sprint("an EndTxn of ", p), err, func(t *transaction) bool {
			next, after := t.after()
			how := t.state == PrepareAbort || t.state == CompleteAbort
			if commit {
				how = t.state == PrepareCommit || t.state == CompleteCommit
			}
			return how && got == pair{next, after} && w.turn[p] == w.taken[id]
		})
		if err == nil && got != p {
			w.give(id, got, w.turn[p])
		}
	})
}

// ask has somebody ask for something; mostly who may.
func (w *world) ask() {
	id := []string{"x", "y"}[w.r.IntN(2)]
	p := pair{7, 0}
	if all := w.given[id]; len(all) > 0 {
		p = all[max(len(all)-1-max(w.r.IntN(8)-4, 0), 0)]
	}
	version := int8(2 * min(w.r.IntN(4), 1))
	w.pending++
	switch n := w.r.IntN(20); {
	case n < 3 || len(w.given[id]) == 0:
		w.init(id, p, false)
	case n < 5:
		w.init(id, p, true)
	case n < 12:
		w.add(id, p, version, w.r.IntN(2) == 0)
	case n < 14:
		w.verify(id, p)
	default:
		w.end(id, p, version, w.r.IntN(3) > 0)
	}
}

// happen ends something that is on its way, well or not, and reports whether anything was.
func (w *world) happen(well bool) bool {
	switch n := len(w.appends) + len(w.draws) + len(w.marks); {
	case n == 0:
		return false
	case len(w.appends) > 0 && w.r.IntN(n) < len(w.appends):
		a := w.appends[0]
		if w.appends = w.appends[1:]; !well && w.r.IntN(6) == 0 {
			a.done(errDisk)
			return true
		}
		w.log(a.r)
		a.done(nil)
	case len(w.draws) > 0:
		f := w.draws[0]
		if w.draws = w.draws[1:]; !well && w.r.IntN(6) == 0 {
			f(-1, errDisk)
			return true
		}
		w.drawn++
		f(w.drawn, nil)
	case len(w.marks) > 0:
		w.mark(well)
	}
	return true
}

// mark ends one of the markers, in any order. One of a life that is over may be written, too.
func (w *world) mark(well bool) {
	i := w.r.IntN(len(w.marks))
	m := w.marks[i]
	w.marks = slices.Delete(w.marks, i, i+1)
	err := []error{nil, nil, nil, errDisk, kerr.UnknownTopicOrPartition, kerr.InvalidProducerEpoch}[w.r.IntN(6)]
	if well {
		err = nil
	}
	if id, _ := w.holder(m.ProducerID, m.ProducerEpoch); id != "" && err != errDisk {
		w.ended[id][m.to] = true
	}
	m.done(err)
}

// restart has another coordinator begin with what is in the log. What was on its way there is in it, or is not.
func (w *world) restart() {
	if w.c != nil {
		w.c.Close()
	}
	late, written := w.appends, w.r.IntN(len(w.appends)+1)
	for _, a := range late[:written] {
		w.log(a.r)
	}
	w.appends, w.draws = nil, nil
	w.life++
	w.c = New(w.o, w)
	for id, t := range w.told.ids {
		if err := w.c.Replay(w.told.record(id, &t.metadata)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.c.Loaded(w.now)
	for i, a := range late { // the life that they belong to is over
		var err error
		if i >= written {
			err = errDisk
		}
		a.done(err)
	}
}

func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.c.Tick(w.now)
}

// rest has time pass in which all goes well: then nothing is left over.
func (w *world) rest() {
	for range 40 {
		for w.happen(true) {
		}
		w.pass(5 * time.Second)
	}
	if w.pending != 0 || len(w.c.replies)+len(w.c.patient)+len(w.c.failed) != 0 || len(w.c.ids) != len(w.told.ids) {
		w.t.Errorf("%d requests have no answer; %d, %d, %d, %d ids of %d are left", w.pending, len(w.c.replies), len(w.c.patient), len(w.c.failed), len(w.c.ids), len(w.told.ids))
	}
	for id, t := range w.c.ids {
		if t.busy || t.state.holds() || len(t.patient)+len(t.owed) > 0 {
			w.t.Errorf("%s is left %s, busy %v, with %d who wait and %d markers", id, t.state, t.busy, len(t.patient), len(t.owed))
		}
	}
}

// TestRandomWorlds plays requests of producers old and new against a coordinator whose log and markers are late, fail
// and outlive it.
func TestRandomWorlds(t *testing.T) {
	for seed := range uint64(300) {
		o := Options{Version: 2, Expiration: 20 * time.Second, RemoveInterval: 7 * time.Second}
		w := &world{
			t: t, r: rand.New(rand.NewPCG(seed, 11)), o: o, told: New(o, silent{}), now: time.UnixMilli(1_000_000), drawn: 100,
			given: map[string][]pair{}, taken: map[string]int{}, turn: map[pair]int{}, commits: map[pair]bool{}, ended: map[string]map[Partition]bool{},
		}
		if seed%2 == 0 { // long after
			old := metadata{producer: 5, previous: -1, next: -1, epoch: exhausted - int16(w.r.IntN(4)), last: -1, timeout: 60_000, started: -1, updated: 1_000_000}
			w.told.ids["x"] = &transaction{id: "x", metadata: old}
			w.give("x", pair{old.producer, old.epoch}, 0)
		}
		w.restart()
		for range 400 {
			switch n := w.r.IntN(100); {
			case n < 40:
				w.ask()
			case n < 94:
				w.happen(false)
			case n < 99:
				w.pass(time.Duration(w.r.IntN(20_000)) * time.Millisecond)
			default:
				w.restart()
			}
			if err := w.c.Check(); err != nil {
				t.Error(err)
			}
		}
		if w.rest(); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
