package session

import (
	"fmt"
	"time"
)

// Waiting says on the screen, from the first second on, what is being waited for and for how
// long; done wipes the line, and may be called twice. Whoever waits calls it before printing.
//
// Ownership: the screen is the clock's goroutine's until done returns, which ends it.
func (s Streams) Waiting(what string) (done func()) {
	if s.Screen == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for n := 1; ; n++ {
			select {
			case <-second.C:
				fmt.Fprintf(s.Screen, "\r\033[K%s … %d s", what, n)
			case <-end:
				if n > 1 {
					fmt.Fprint(s.Screen, "\r\033[K")
				}
				return
			}
		}
	}()
	asked := false
	return func() {
		if !asked {
			asked = true
			close(end)
			<-ended
		}
	}
}
