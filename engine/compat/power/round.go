package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/ledger"
	"github.com/millrace/millrace/engine/compat/traffic"
)

// A round is one cut, or two.
type round struct {
	*loop
	number  int
	kind    string // how the power was cut
	moment  time.Time
	book    *ledger.Ledger
	passing []*traffic.Producer
	verdict ledger.Verdict
}

// errDamage marks what is wrong with the data after a cut; every other error ends the run.
var errDamage = errors.New("damage")

// play answers the broker that runs afterwards.
func (r *round) play(ctx context.Context, running *broker.Running) (*broker.Running, error) {
	working, done := context.WithCancel(ctx)
	defer done()
	aside, rest := context.WithCancel(working)
	defer rest()
	if err := r.work(working, aside); err != nil {
		return running, err
	}
	wait(ctx, r.between(r.least, r.most))
	if err := r.cut(ctx, running, rest); err != nil {
		return running, err
	}
	for _, p := range r.passing {
		p.Abandon()
	}
	if r.within > 0 {
		r.book.Excuse(r.moment, r.within)
		r.all.Excuse(r.moment, r.within)
	}
	if err := r.mend(); err != nil {
		return running, err
	}
	if r.random.IntN(5) == 0 {
		if err := r.cutStart(ctx); err != nil {
			return running, err
		}
	}
	next, err := r.start(ctx)
	if err != nil {
		return running, fmt.Errorf("%w: the broker does not start: %w", errDamage, err)
	}
	done()
	if err := r.check(ctx); err != nil {
		return next, fmt.Errorf("%w: %s: %w", errDamage, r.kind, err)
	}
	return next, ctx.Err()
}

// work begins the load: always some of everything, and of one thing more.
func (r *round) work(ctx, aside context.Context) error {
	name := fmt.Sprintf("passing-%d", r.number)
	loads := []load{few, rolling}
	if r.random.IntN(3) == 0 {
		loads = append(loads, many)
	}
	for _, t := range loads {
		for _, ackLeader := range []bool{false, true} {
			p, err := r.producer(t, fmt.Sprintf("%s-%v", name, ackLeader), ackLeader)
			if err != nil {
				return err
			}
			r.passing = append(r.passing, p)
		}
	}
	for _, p := range append(r.passing, r.lasting...) {
		p.Run(ctx, r.book, r.all)
	}
	return r.side.Run(aside, r.number)
}

// alive is the kind of a cut that the broker outlives.
const alive = "broker lives on"

// cut takes the power away in one of three ways, and the broker ends. Mostly the processor dies just before the disk:
// ext4 reports success to an fdatasync that is under way while it is shut down, though what it was to make durable is
// lost. A broker that lives on is told such lies, so of what it acknowledges then nothing counts.
func (r *round) cut(ctx context.Context, running *broker.Running, rest func()) error {
	pause := r.between(0, 40*time.Millisecond)
	switch kind := r.random.IntN(10); {
	case kind < 7:
		r.kind = "under load"
	case kind < 8:
		return r.cutAlive(ctx, running, rest, pause)
	default:
		r.kind = "while it stops"
		running.Terminate()
		wait(ctx, 3*pause)
	}
	r.cuts[r.kind]++
	running.Strike()
	r.moment = time.Now()
	err := r.disk.Cut()
	running.Kill()
	return err
}

// cutAlive lets the broker work on a dead disk for a while.
func (r *round) cutAlive(ctx context.Context, running *broker.Running, rest func(), pause time.Duration) error {
	r.kind = alive
	r.cuts[r.kind]++
	rest()
	r.side.Wait()
	for _, p := range append(r.passing, r.lasting...) {
		p.Deafen()
	}
	r.moment = time.Now()
	if err := r.disk.Cut(); err != nil {
		return err
	}
	wait(ctx, pause)
	running.Kill()
	return r.renew() // those that were told lies
}

// cutStart starts a broker on the disk and cuts the power before or shortly after it answers.
func (r *round) cutStart(ctx context.Context) error {
	r.kind += ", as it starts"
	r.cuts["as it starts"]++
	starting, err := broker.LaunchMillrace(r.binary, r.data(), r.nextLog(), r.address, "", r.settings()...)
	if err != nil {
		return err
	}
	wait(ctx, r.between(0, 80*time.Millisecond))
	starting.Strike()
	err = r.disk.Cut()
	starting.Kill()
	return errors.Join(err, r.mend())
}

// mend brings the power back and counts what was lost.
func (r *round) mend() error {
	before, err := r.bytes()
	if err == nil {
		err = r.disk.Mend()
	}
	if err != nil {
		return err
	}
	after, err := r.bytes()
	r.lost += max(0, before-after)
	return err
}

// check looks at everything that was acknowledged.
func (r *round) check(ctx context.Context) error {
	var wrong []error // all of it, for whoever looks for the reason
	for _, p := range r.lasting {
		wrong = append(wrong, p.Flush(ctx))
	}
	if r.within > 0 {
		r.side.Wait() // its records and commits are in the same mode, and nobody noted when they were acknowledged
	} else {
		wrong = append(wrong, r.side.Check(ctx))
	}
	wrong = append(wrong, traffic.ReadBack(ctx, r.address, r.verified, r.book))
	r.verdict = r.book.Judge()
	if err := errors.Join(append(wrong, r.verdict.Err(), r.refused(), r.spared(ctx))...); err != nil || r.number%full != 0 {
		return err
	}
	return r.readAll(ctx)
}

func (r *round) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.random.Int64N(int64(most-least)+1))
}

func wait(ctx context.Context, d time.Duration) {
	soon, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-soon.Done()
}
