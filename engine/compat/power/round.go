package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
)

// A round is one cut, or two.
type round struct {
	*loop
	number int
	kind   string // how the power was cut
	moment time.Time
}

// errDamage marks what is wrong with the data after a cut; every other error ends the run.
var errDamage = errors.New("damage")

// play answers the broker that runs afterwards.
func (r *round) play(ctx context.Context, running *broker.Running) (*broker.Running, error) {
	if err := r.burden.begin(ctx, r.number); err != nil {
		return running, err
	}
	defer r.burden.end()
	if err := r.load(ctx, running); err != nil {
		return running, err
	}
	if err := r.cut(ctx, running); err != nil {
		return running, err
	}
	if err := errors.Join(running.Sound(), r.burden.struck(r.moment, r.kind == alive), r.mend()); err != nil {
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
	watched, end := next.Watch(ctx)
	defer end()
	if err := r.burden.check(watched, r.number); err != nil {
		return next, fmt.Errorf("%w: %s: %w", errDamage, r.kind, errors.Join(err, context.Cause(watched)))
	}
	return next, ctx.Err()
}

// load gives the broker its time under load; one that does not outlive it is an error.
func (r *round) load(ctx context.Context, running *broker.Running) error {
	watched, end := running.Watch(ctx)
	defer end()
	wait(watched, r.between(r.least, r.most))
	return context.Cause(watched)
}

// alive is the kind of a cut that the broker outlives.
const alive = "broker lives on"

// cut takes the power away in one of three ways, and the broker ends. Mostly the processor dies just before the disk:
// ext4 reports success to an fdatasync that is under way while it is shut down, though what it was to make durable is
// lost. A broker that lives on is told such lies, so of what it acknowledges then nothing counts.
func (r *round) cut(ctx context.Context, running *broker.Running) error {
	pause := r.between(0, 40*time.Millisecond)
	switch kind := r.random.IntN(10); {
	case kind < 7:
		r.kind = "under load"
	case kind < 8:
		return r.cutAlive(ctx, running, pause)
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
func (r *round) cutAlive(ctx context.Context, running *broker.Running, pause time.Duration) error {
	r.kind = alive
	r.cuts[r.kind]++
	r.burden.deafen()
	r.moment = time.Now()
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

func (r *round) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.random.Int64N(int64(most-least)+1))
}

func wait(ctx context.Context, d time.Duration) {
	soon, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-soon.Done()
}
