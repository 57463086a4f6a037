package limits

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// The longest pause is that of the broker's runtime, where the row wants it.
func TestLongestPause(t *testing.T) {
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, "# TYPE millrace_build_info gauge\nmillrace_build_info 1\n# TYPE go_gc_duration_seconds summary\n"+
			"go_gc_duration_seconds{quantile=\"0.5\"} 0.0001\ngo_gc_duration_seconds{quantile=\"1\"} 0.0007\ngo_gc_duration_seconds_sum 1\ngo_gc_duration_seconds_count 9\n")
	}))
	defer served.Close()
	for _, wanted := range []bool{true, false} {
		one := &trial{row: Row{Pauses: wanted}, broker: &peers.Broker{Admin: strings.TrimPrefix(served.URL, "http://")}}
		if err := one.paused(context.Background()); err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: fmt.Sprint([]results.Measured{{Name: longestPause, Unit: results.Seconds, Value: 0.0007}}), false: "[]"}[wanted]
		if got := fmt.Sprint(one.figures); got != want {
			t.Errorf("wanted %v: %s, want %s", wanted, got, want)
		}
	}
}
