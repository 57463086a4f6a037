package netpoll

import (
	"sync"
	"testing"
)

func TestPostKeepsTheOrderOfEachPoster(t *testing.T) {
	s := serve(t, Options{}, &served{})
	const posters, each = 4, 5000
	var next [posters]int // the loop's
	var wrong int
	var all, posting sync.WaitGroup
	all.Add(posters * each)
	for p := range posters {
		posting.Go(func() {
			for i := range each {
				s.loops[0].Post(&Task{Run: func() {
					if next[p] != i {
						wrong++
					}
					next[p] = i + 1
					all.Done()
				}})
			}
		})
	}
	posting.Wait()
	all.Wait()
	on(s.loops[0], func() {
		if wrong != 0 {
			t.Errorf("%d tasks ran out of order", wrong)
		}
	})
}

func TestTaskMayPostItself(t *testing.T) {
	s := serve(t, Options{}, &served{})
	done := make(chan int)
	runs := 0
	var task Task
	task.Run = func() {
		if runs++; runs == 1000 {
			done <- runs
			return
		}
		s.loops[0].Post(&task)
	}
	s.loops[0].Post(&task)
	take(t, done)
}

func TestPostAfterCloseSaysSo(t *testing.T) {
	s := serve(t, Options{Loops: 2}, &served{})
	_ = s.Close()
	for _, l := range s.loops {
		if l.Post(&Task{Run: func() { t.Error("ran after Close") }}) {
			t.Error("Post promised to run a task after Close")
		}
	}
}

// Posters that race with Close either see their task run or are told that it will not.
func TestPostDuringClose(t *testing.T) {
	for range 50 {
		s := serve(t, Options{}, &served{})
		var posting sync.WaitGroup
		var ran, promised [2]int
		for p := range 2 {
			posting.Go(func() {
				for range 200 {
					if s.loops[0].Post(&Task{Run: func() { ran[p]++ }}) {
						promised[p]++
					}
				}
			})
		}
		_ = s.Close()
		posting.Wait()
		if ran != promised {
			t.Fatalf("ran %v tasks, promised %v", ran, promised)
		}
	}
}
