package loadgen

import (
	"strings"
	"testing"
)

func TestOverride(t *testing.T) {
	w, err := FindWorkload("tour")
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range [][2]string{{"batch", "32KiB"}, {"partitions", "3"}, {"rate", "5k"}, {"value", "{size: 50}"}, {"acks", "1"}} {
		if err := w.Override(one[0], one[1]); err != nil {
			t.Fatal(err)
		}
	}
	if w.Partitions != 3 || w.Phases[0].Batch != 32<<10 || w.Phases[0].Rate != 5000 || w.Phases[2].Rate != 0 || w.Phases[3].Value.Size != 50 || w.Phases[1].Idempotent {
		t.Errorf("the workload is now %+v", w)
	}
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	for key, value := range map[string]string{"batsh": "1", "batch": "huge", "codec": "x", "": "1"} {
		if err := w.Override(key, value); err == nil {
			t.Errorf("%s=%s was accepted", key, value)
		}
	}
	if err := w.Override("value", "4"); err != nil {
		t.Fatal(err)
	}
	if err := w.Check(); err == nil || !strings.Contains(err.Error(), "end-to-end needs values") {
		t.Errorf("values too short to be stamped: %v", err)
	}
}

func TestKeepPhases(t *testing.T) {
	w, err := FindWorkload("tour")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Keep([]string{"consume", "end to end"}); err != nil || len(w.Phases) != 2 || w.Phases[1].Name != "end to end" {
		t.Errorf("%v: %v", err, w.Phases)
	}
	if err := w.Keep([]string{"dance"}); err == nil || !strings.Contains(err.Error(), "end to end") {
		t.Errorf("the error does not name the phases: %v", err)
	}
}
