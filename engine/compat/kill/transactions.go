package main

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/transact"
	"github.com/millrace/millrace/engine/sim/history"
)

// transactions is a run under transactions (package transact), judged by the history of all of them.
type transactions struct {
	*loop
	load *transact.Load
}

// runTransactions plays every round and answers how many were not clean.
func (l *loop) runTransactions(ctx context.Context) (failed int, err error) {
	t := &transactions{l, transact.New(transact.Options{Address: l.address, Name: topic, Partitions: l.partitions, Workers: l.producers})}
	running, err := l.start(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { running.Kill() }()
	if err := t.load.Prepare(ctx); err != nil {
		return 0, err
	}
	for round := 1; round <= l.rounds; round++ {
		var found []history.Anomaly
		running, err = t.timed(ctx, running, func(ctx context.Context) (next *broker.Running, err error) {
			next, found, err = t.round(ctx, running)
			return next, err
		})
		if err != nil {
			return failed, fmt.Errorf("round %d: %w", round, err)
		}
		failed += t.show(fmt.Sprintf("round %2d", round), found)
	}
	var found []history.Anomaly
	_, err = t.timed(ctx, running, func(ctx context.Context) (_ *broker.Running, err error) {
		watched, end := running.Watch(ctx)
		defer end()
		found, err = t.load.Finish(watched)
		return running, why(watched, err)
	})
	if err != nil {
		return failed, fmt.Errorf("at the end: %w", err)
	}
	failed += t.show("all", found)
	fmt.Printf("\nkill -9 under transactions: %d rounds in %.0f s, %v, %d not clean; slowest start %d ms\n",
		l.rounds, time.Since(l.begin).Seconds(), t.load.Counts(), failed, l.slowest.Milliseconds())
	return failed, running.Stop()
}

// show prints how a round has ended, and answers 1 if it was not clean.
func (t *transactions) show(what string, found []history.Anomaly) (failed int) {
	mark := "ok"
	if len(found) > 0 {
		failed, mark = 1, "FAIL "+history.Summary(found)
	}
	fmt.Printf("%6.1f s  %-8s  %v  %s\n", time.Since(t.begin).Seconds(), what, t.load.Counts(), mark)
	return failed
}

// round is one kill. It answers the broker that runs afterwards.
func (t *transactions) round(ctx context.Context, running *broker.Running) (*broker.Running, []history.Anomaly, error) {
	t.load.Begin(ctx)
	defer t.load.Sever() // unless they have rested
	if err := t.strike(ctx, running); err != nil {
		return running, nil, err
	}
	next, watched, end, err := t.revive(ctx)
	if err != nil {
		return running, nil, err
	}
	defer end()
	t.wait(watched, 300*time.Millisecond) // what was under way goes on
	if err := t.load.Rest(watched); err != nil {
		return next, nil, why(watched, err)
	}
	found, err := t.load.Judge(watched)
	return next, found, why(watched, err)
}
