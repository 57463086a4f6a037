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
	if err := r.work(working); err != nil {
		return running, err
	}
	wait(ctx, r.between(r.least, r.most))
	if err := r.cut(ctx, running); err != nil {
		return running, err
	}
	for _, p := range r.passing {
		p.Abandon()
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
func (r *round) work(ctx context.Context) error {
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
	return r.side.Run(ctx, r.number)
}

// cut takes the power away in one of three ways, and the broker ends.
func (r *round) cut(ctx context.Context, running *broker.Running) error {
	pause := r.between(0, 40*time.Millisecond)
	switch kind := r.random.IntN(10); {
	case kind < 6:
		r.kind = "under load"
		pause = 0
	case kind < 8:
		r.kind = "broker lives on"
	default:
		r.kind = "while it stops"
		running.Terminate()
		wait(ctx, r.between(0, 120*time.Millisecond))
		pause = 0
	}
	r.cuts[r.kind]++
	if err := r.disk.Cut(); err != nil {
		return err
	}
	wait(ctx, pause)
	running.Kill()
	return nil
}

// cutStart starts a broker on the disk and cuts the power before or shortly after it answers.
func (r *round) cutStart(ctx context.Context) error {
	r.kind += ", as it starts"
	r.cuts["as it starts"]++
	starting, err := broker.LaunchMillrace(r.binary, r.data(), r.log, r.address, "", r.settings()...)
	if err != nil {
		return err
	}
	wait(ctx, r.between(0, 80*time.Millisecond))
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
	for _, p := range r.lasting {
		if err := p.Flush(ctx); err != nil {
			return err
		}
	}
	if err := r.side.Check(ctx); err != nil {
		return err
	}
	if err := traffic.ReadBack(ctx, r.address, r.verified, r.book); err != nil {
		return err
	}
	r.verdict = r.book.Judge()
	if err := errors.Join(r.verdict.Err(), r.refused(), r.spared(ctx)); err != nil || r.number%full != 0 {
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
