package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// attackers are the peers of one scene, as a process of their own that leaves the processors to the broker and to the
// honest client: peers that misbehave have machines of their own, and what they themselves compute is not the broker's doing.
//
// Each side says a line at a time: the process "ready" when its topics are there, and "done" or what went wrong when
// all have attacked; whoever started it "attack". It ends when its input does, and its connections with it.
type attackers struct {
	process *exec.Cmd
	orders  io.WriteCloser
	words   *bufio.Reader
}

const (
	ready  = "ready"
	attack = "attack"
	done   = "done"
)

func startAttackers(ctx context.Context, p peer, address string, connections int) (*attackers, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	a := &attackers{process: exec.CommandContext(ctx, "nice", "-n", "19", self, "-attack", p.name, "-address", address, "-connections", strconv.Itoa(connections))}
	a.process.Stderr = os.Stderr
	if a.orders, err = a.process.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start attackers: %w", err)
	}
	words, err := a.process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start attackers: %w", err)
	}
	a.words = bufio.NewReader(words)
	if err := a.process.Start(); err != nil {
		return nil, fmt.Errorf("start attackers: %w", err)
	}
	if err := a.hear(ready); err != nil {
		return nil, errors.Join(err, a.end())
	}
	return a, nil
}

// hear waits for what the process says, which must be want.
func (a *attackers) hear(want string) error {
	line, err := a.words.ReadString('\n')
	if said := strings.TrimSpace(line); said != want {
		return errors.Join(fmt.Errorf("attackers said %q instead of %q", said, want), err)
	}
	return nil
}

// attack returns when all of them have.
func (a *attackers) attack() error {
	if _, err := fmt.Fprintln(a.orders, attack); err != nil {
		return fmt.Errorf("send attackers: %w", err)
	}
	return a.hear(done)
}

// end closes their connections. It may be called twice.
func (a *attackers) end() error {
	if a.process.ProcessState != nil {
		return nil
	}
	a.orders.Close()
	if err := a.process.Wait(); err != nil {
		return fmt.Errorf("attackers: %w", err)
	}
	return nil
}

// beAttackers is the other end: the process of the peers.
func beAttackers(ctx context.Context, name, address string, connections int) error {
	for _, p := range peers {
		if p.name == name {
			s := &scene{ctx: ctx, address: address, connections: connections}
			defer s.close()
			return s.play(p, os.Stdin, os.Stdout)
		}
	}
	return fmt.Errorf("there are no peers %q", name)
}

// play is one scene, in which orders come line by line and words go out.
func (s *scene) play(p peer, orders io.Reader, words io.Writer) error {
	lines := bufio.NewReader(orders)
	if err := s.prepare(p); err != nil {
		return err
	}
	fmt.Fprintln(words, ready)
	if wanted, err := ordered(lines); err != nil || !wanted {
		return err
	}
	if err := p.attack(s); err != nil {
		return err
	}
	fmt.Fprintln(words, done)
	_, err := io.Copy(io.Discard, lines)
	return err
}

// ordered waits for the order to attack, and reports whether it came: whoever started attackers may have no use for
// them any more, and says why.
func ordered(lines *bufio.Reader) (bool, error) {
	order, err := lines.ReadString('\n')
	switch {
	case order == "" && errors.Is(err, io.EOF):
		return false, nil
	case strings.TrimSpace(order) != attack:
		return false, errors.Join(fmt.Errorf("attackers were told %q instead of %q", order, attack), err)
	default:
		return true, nil
	}
}
