package broker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A program that panics ends who waits for it, and tells how it panicked; one that was killed does not.
func TestWatch(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		kill   bool
		falls  bool
	}{
		"panics":          {"echo hello; echo 'panic: numbers'; seq 100; exit 2", false, true},
		"ends":            {"exit 0", false, false},
		"is killed":       {"sleep 60", true, false},
		"a JVM that ends": {"exit 143", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Launch(filepath.Join(t.TempDir(), "log"), "/bin/sh", "-c", test.script)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			watched, end := r.Watch(ctx)
			defer end()
			if test.kill {
				r.Kill()
			}
			<-r.Ended()
			if !test.falls {
				if watched.Err() != nil || r.Fallen() != nil || r.Sound() != nil {
					t.Fatalf("%v, %v, %v, want nothing", context.Cause(watched), r.Fallen(), r.Sound())
				}
				return
			}
			<-watched.Done()
			if cause := context.Cause(watched); errors.Is(cause, context.DeadlineExceeded) || !strings.Contains(cause.Error(), "panic: numbers\n1\n2\n") {
				t.Errorf("the cause is %v", cause)
			}
			if err := r.Sound(); err == nil || strings.Contains(err.Error(), "hello") {
				t.Errorf("Sound: %v", err)
			}
		})
	}
}

func TestSoundNeedsALog(t *testing.T) {
	if err := sound(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
