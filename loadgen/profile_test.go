package loadgen

import (
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProfilesAreTaken(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	admin := httptest.NewServer(mux)
	defer admin.Close()
	dir := t.TempDir()
	r := runWorkload(t, "name: w\nphases: [{name: p, do: produce, rate: 500, duration: 1s}]", Options{
		Brokers: fakeCluster(t, 1), Profiling: Profiling{Admin: strings.TrimPrefix(admin.URL, "http://"), Kinds: []string{ProfileHeap, ProfileCPU}, Dir: dir},
	})
	if len(r.Profiles) != 2 || !strings.HasSuffix(r.Profiles[0], "-p-cpu.pb.gz") {
		t.Fatalf("the profiles are %q", r.Profiles)
	}
	for _, name := range r.Profiles {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hottest(data, 3); err != nil {
			t.Error(err)
		}
	}
	if notes := strings.Join(r.Phases[0].Notes, "\n"); !strings.Contains(notes, "cpu profile: ") {
		t.Errorf("the notes are %q", notes)
	}
}

func TestProfilingIsChecked(t *testing.T) {
	for _, p := range []Profiling{{Kinds: []string{"speed"}, Admin: "x:1"}, {Kinds: []string{ProfileCPU}}} {
		if p.check() == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
	if _, err := hottest([]byte("no profile"), 3); err == nil {
		t.Error("nonsense was read as a profile")
	}
}
