package sim

import (
	"flag"
	"os"
	"testing"

	"github.com/millrace/millrace/engine/sim/history"
)

var (
	seed  = flag.Uint64("seed", 1, "the first seed")
	seeds = flag.Int("seeds", 300, "how many")
)

func TestSeeds(t *testing.T) {
	for s := *seed; s < *seed+uint64(*seeds); s++ {
		r := Run(Options{Seed: s})
		if len(r.Anomalies) > 0 {
			t.Fatalf("seed %d: %s", s, history.Summary(r.Anomalies))
		}
	}
}

func TestOne(t *testing.T) {
	o := Options{Seed: *seed}
	if testing.Verbose() {
		o.Trace = os.Stdout
	}
	t.Logf("%+v", Run(o))
}
