package session

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatIsWaitedForIsSaid(t *testing.T) {
	for name, test := range map[string]struct {
		wait time.Duration
		want string
	}{
		"at once":       {0, ""},
		"soon":          {900 * time.Millisecond, ""},
		"after a while": {2500 * time.Millisecond, "\r\033[Klooking at a.wasm … 1 s\r\033[Klooking at a.wasm … 2 s\r\033[K"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var screen strings.Builder
				done := Streams{Screen: &screen}.Waiting("looking at a.wasm")
				<-time.After(test.wait) // of the bubble's clock
				done()
				done()
				if screen.String() != test.want {
					t.Errorf("the screen had %q, want %q", screen.String(), test.want)
				}
			})
		})
	}
}

func TestWithoutAScreenNothingIsSaid(*testing.T) {
	Streams{}.Waiting("looking at a.wasm")()
}
