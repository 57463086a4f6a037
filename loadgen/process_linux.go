package loadgen

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a process has used so far.
type Usage struct {
	CPU      time.Duration // user and system
	Peak     int64         // largest resident size in bytes, since it began or ResetPeak
	Resident int64         // resident size in bytes, mapped files included
}

// ticksPerSecond is the unit of /proc/<pid>/stat: USER_HZ, 100 on every Linux there is.
const ticksPerSecond = 100

// ReadUsage reads a process's use from /proc.
func ReadUsage(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("read processor time of process %d: %w", pid, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	cpu, err := processorTime(stat)
	if err != nil {
		return Usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return Usage{cpu, sizeOf(status, "VmHWM:"), sizeOf(status, "VmRSS:")}, nil
}

// processorTime adds fields 14 and 15 (utime, stime) of a stat line. The name in
// parentheses may contain anything, so fields are counted from its end.
func processorTime(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat has %d fields", len(fields))
	}
	user, err := strconv.ParseInt(string(fields[11]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read utime: %w", err)
	}
	system, err := strconv.ParseInt(string(fields[12]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read stime: %w", err)
	}
	return time.Duration(user+system) * (time.Second / ticksPerSecond), nil
}

// machineTime is the processor time that the whole machine has used so far: user, nice,
// system, irq and softirq of the first line of /proc/stat.
func machineTime() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read processor time of the machine: %w", err)
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 8 {
		return 0, fmt.Errorf("read processor time of the machine: /proc/stat begins with %q", line)
	}
	total := int64(0)
	for _, at := range []int{1, 2, 3, 6, 7} {
		ticks, err := strconv.ParseInt(string(fields[at]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read processor time of the machine: %w", err)
		}
		total += ticks
	}
	return time.Duration(total) * (time.Second / ticksPerSecond), nil
}

// sizeOf is one size of /proc/<pid>/status in bytes.
func sizeOf(status []byte, name string) int64 {
	for _, line := range bytes.Split(status, []byte("\n")) {
		fields := bytes.Fields(line)
		if len(fields) == 3 && string(fields[0]) == name {
			if kib, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// ResetPeak makes the peak begin anew. Not everybody may do that to every process; then
// the peak is that of the process's whole life, which the caller says in its notes.
func ResetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200); err != nil {
		return fmt.Errorf("reset the memory peak of process %d: %w", pid, err)
	}
	return nil
}

// punctual makes every thread of this process run as soon as it is due, where the system
// allows that, and returns how to take it back. A load generator beside its broker on few
// processors must not be late because the broker, or anything else, is busy: in earnest
// it would be on another machine. It is for phases that keep a schedule, which sleep most
// of the time. All threads, for Go hands a goroutine from one to another, and a hand-over
// is as late as the later of the two.
func punctual() (end func()) {
	if schedule(&unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 1}) != nil {
		return func() {}
	}
	return func() {
		// Giving a priority up is always allowed; a thread that is gone needs none.
		_ = schedule(&unix.SchedAttr{Policy: unix.SCHED_NORMAL})
	}
}

// schedule sets the scheduling of every thread there is; later ones inherit it.
func schedule(attributes *unix.SchedAttr) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("list the threads: %w", err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return fmt.Errorf("list the threads: %w", err)
		}
		if err := unix.SchedSetAttr(id, attributes, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("set the priority of a thread: %w", err)
		}
	}
	return nil
}
