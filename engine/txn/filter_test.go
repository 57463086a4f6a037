package txn

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/spent"
)

// Names of states that are none are told of once each, in time that grows with their number and
// not with its square: whoever asks may name millions.
func TestUnknownStatesAreToldOnce(t *testing.T) {
	q := kmsg.NewPtrListTransactionsRequest()
	const names = 200_000
	for range 2 {
		for i := range names {
			q.StateFilters = append(q.StateFilters, fmt.Sprintf("%08d", i))
		}
	}
	began := spent.Processor(t)
	f, err := NewFilter(q)
	if took := spent.Processor(t) - began; took > 10*time.Second {
		t.Errorf("it took %v of processor time", took)
	}
	if err != nil || len(f.Unknown()) != names {
		t.Errorf("%d are not known, want %d: %v", len(f.Unknown()), names, err)
	}
}

// A few letters can have every id matched for a second; a pattern that names what somebody may want cannot.
func TestPatternsOfIDsAreBounded(t *testing.T) {
	for pattern, fails := range map[string]bool{
		"orders-.*": false, "(orders|bills|returns)-[0-9]{1,3}": false, "(": true, "(.?){500}": true, strings.Repeat("(.?){1000}", 30): true,
	} {
		q := kmsg.NewPtrListTransactionsRequest()
		q.Version, q.TransactionalIDPattern = 2, &pattern
		if _, err := NewFilter(q); (err == kerr.InvalidRegularExpression) != fails { //nolint:errorlint // bare
			t.Errorf("%s: %v", pattern[:min(len(pattern), 40)], err)
		}
	}
}
