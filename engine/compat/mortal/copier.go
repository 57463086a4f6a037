package mortal

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/compat/report"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Copier runs java/Copier.java, which consumes, transforms and produces in transactions.
func Copier(s *report.Suite) error {
	return perform(s, 2*time.Minute, func(s *stage) []check { return []check{{"transform-kill", s.copies}} })
}

// copies kills the program and the broker in turn; what is committed in the end is every record once, in order.
func (s *stage) copies(ctx context.Context) error {
	const from, to, partitions, turns, perTurn = "copy-from", "copy-to", 3, 100, 30
	if err := s.topics(ctx, partitions, from, to); err != nil {
		return err
	}
	w, err := s.watch(ctx, to)
	if err != nil {
		return err
	}
	defer w.close()
	p := s.java("copier", "Copier", s.broker.Address, from, to, "copier")
	if err := p.start(); err != nil {
		return err
	}
	defer p.end()
	give, done, err := s.gives(func(n int) (records []*kgo.Record) {
		for i := n * perTurn; i < (n+1)*perTurn; i++ {
			records = append(records, &kgo.Record{Topic: from, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)})
		}
		return records
	})
	if err != nil {
		return err
	}
	defer done()
	f := flow{turns: turns, perTurn: perTurn, ahead: 6, give: give, seen: w.count, topics: []string{to}}
	die := func(context.Context) error { return p.restart() }
	if err := s.play(ctx, f, []*program{p}, []blow{{0.15, die}, {0.4, s.broker.Restart}, {0.7, s.broker.Restart}, {0.8, die}}); err != nil {
		return err
	}
	wrote, err := s.committed(ctx, from)
	if err != nil {
		return err
	}
	got, err := s.committed(ctx, to)
	if err != nil {
		return err
	}
	for partition, records := range wrote {
		copies := got[partition]
		if len(copies) != len(records) {
			return fmt.Errorf("partition %d has %d copies of %d records", partition, len(copies), len(records))
		}
		for n, r := range records {
			if string(copies[n].Value) != string(r.Value) {
				return fmt.Errorf("copy %d of partition %d, at offset %d, is %s, want %s", n, partition, copies[n].Offset, copies[n].Value, r.Value)
			}
		}
	}
	return nil
}
