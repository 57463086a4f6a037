package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// isolated marks the process that has its mounts to itself.
const isolated = "MILLRACE_OWN_MOUNTS"

// Isolate runs the program once more in a mount namespace of its own and ends with what that answered; in there it
// returns. However the program ends, what it has mounted goes with it.
func Isolate() {
	if os.Getenv(isolated) != "" || os.Geteuid() != 0 {
		return
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Env = append(os.Environ(), isolated+"=yes")
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A process group of its own: a terminal's ^C comes once, from here.
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setpgid: true, Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread() // the child gets its signal when this thread ends
	if err := command.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot have mounts of our own:", err)
		os.Exit(1)
	}
	go func() {
		for s := range signals {
			_ = command.Process.Signal(s) // gone already: Wait tells
		}
	}()
	err := command.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
