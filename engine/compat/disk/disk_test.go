package disk

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	Isolate()
	os.Exit(m.Run())
}

func TestPowerCutLosesWhatWasNotSynced(t *testing.T) {
	if err := Needs(); err != nil {
		t.Skip(err)
	}
	if err := Probe(t.TempDir()); err != nil {
		t.Fatal(err)
	}
}
