package mortal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/twmb/franz-go/pkg/kadm"
)

// guarded is how long a proof counts, so that programs have to renew it while they work.
const guarded = "connections.max.reauth.ms=3000"

// enroll makes a user without rights, and a stage whose programs are that user. What is given to the programs, and what
// comes of it, goes by the open listener as before.
func (s *stage) enroll(ctx context.Context, user string) (*stage, error) {
	a, err := s.admin()
	if err != nil {
		return nil, err
	}
	defer a.Close()
	login := &broker.Login{Mechanism: "SCRAM-SHA-512", User: user, Password: broker.Password(user)}
	made, err := a.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: login.Password}})
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("set the password of %s: %w", user, err)
	}
	enrolled := *s
	enrolled.login = login
	return &enrolled, nil
}

// address is where programs find the broker.
func (s *stage) address() string {
	if s.login != nil {
		return s.broker.Guarded
	}
	return s.broker.Address
}

// proof is the lines of settings, with each of the prefixes, by which programs prove who they are.
func (s *stage) proof(prefixes ...string) (lines []string) {
	if s.login == nil {
		return nil
	}
	for _, prefix := range prefixes {
		for _, line := range s.login.Properties() {
			lines = append(lines, prefix+line)
		}
	}
	return lines
}

// permit allows the programs what the rules say, by literal names or by prefixes.
func (s *stage) permit(ctx context.Context, pattern kadm.ACLPattern, rules ...*kadm.ACLBuilder) error {
	a, err := s.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	for _, r := range rules {
		made, err := a.CreateACLs(ctx, r.AllowHosts("*").Allow("User:"+s.login.User).ResourcePatternType(pattern))
		for _, one := range made {
			err = errors.Join(err, one.Err)
		}
		if err != nil {
			return fmt.Errorf("make rules: %w", err)
		}
	}
	return nil
}

// ruledStreams runs java/Streams.java as a user that may do as little as Kafka's documentation says it must: read its
// inputs, write its outputs, all with topics and transactions that are named for it, read its group. Without rules it ends.
func (s *stage) ruledStreams(ctx context.Context) error {
	const name, id = "ruled", "app-ruled"
	s, err := s.enroll(ctx, "streams")
	if err != nil {
		return err
	}
	if err := s.excluded(ctx, name+"-excluded", id); err != nil {
		return err
	}
	rules := kadm.NewACLs
	err = errors.Join(
		s.permit(ctx, kadm.ACLPatternLiteral,
			rules().Topics(name+"-lines", name+"-customers", name+"-orders", name+"-left", name+"-right").Operations(kadm.OpRead),
			rules().Topics(name+"-counts", name+"-enriched", name+"-pairs").Operations(kadm.OpWrite),
			rules().Groups(id).Operations(kadm.OpRead)),
		s.permit(ctx, kadm.ACLPatternPrefixed,
			rules().Topics(id+"-").Operations(kadm.OpAll),
			rules().TransactionalIDs(id+"-").Operations(kadm.OpWrite)))
	if err != nil {
		return err
	}
	a, err := s.application(ctx, name, func(*application) []blow { return nil }, "application.id="+id)
	if err != nil {
		return err
	}
	return errors.Join(a.counted(ctx), a.joined(ctx), a.paired(ctx))
}

// excluded starts the application without any rule: it must end, and say why.
func (s *stage) excluded(ctx context.Context, name, id string) error {
	p := s.streams(name, name, filepath.Join(s.dir, name), "application.id="+id)
	if err := p.start(); err != nil {
		return err
	}
	defer p.end()
	select {
	case <-p.running.Ended():
	case <-ctx.Done():
		return fmt.Errorf("without rules it goes on (time-out)\n%s", p.running.Log())
	}
	text, err := os.ReadFile(p.log())
	if err != nil {
		return fmt.Errorf("without rules: %w", err)
	}
	if !strings.Contains(string(text), "TopicAuthorizationException") && !strings.Contains(string(text), "GroupAuthorizationException") {
		return fmt.Errorf("without rules it ends, and does not say that it is denied something\n%s", p.running.Log())
	}
	return nil
}

// ruledConnect is two workers that may do as little as Kafka's documentation says they must: the topics in which they keep
// what they know, their group, the transactions of the leader and of the source's task, the topic, the sink's group. What
// the sink must read is allowed only when its task has failed for the want of it.
func (s *stage) ruledConnect(ctx context.Context) error {
	const name, group = "ruled", "ruled-crew"
	s, err := s.enroll(ctx, "connect")
	if err != nil {
		return err
	}
	p, err := s.pipe(name, 8)
	if err != nil {
		return err
	}
	rules := kadm.NewACLs
	err = s.permit(ctx, kadm.ACLPatternLiteral,
		rules().Topics(group+"-config", group+"-offset", group+"-status").Operations(kadm.OpCreate, kadm.OpRead, kadm.OpWrite),
		rules().Groups(group, "connect-"+p.sink).Operations(kadm.OpRead),
		rules().TransactionalIDs("connect-cluster-"+group, group+"-"+p.source+"-0").Operations(kadm.OpWrite),
		rules().Topics(p.topic).Operations(kadm.OpWrite))
	if err != nil {
		return err
	}
	c, err := p.hire(ctx, group)
	defer c.dismiss()
	if err != nil {
		return err
	}
	if err := c.failed(ctx, p.sink, "TopicAuthorizationException"); err != nil {
		return err
	}
	if err := s.permit(ctx, kadm.ACLPatternLiteral, rules().Topics(p.topic).Operations(kadm.OpRead)); err != nil {
		return err
	}
	again := "/connectors/" + p.sink + "/restart?includeTasks=true&onlyFailed=true"
	if err := until(ctx, "restart the sink's task", c.programs, func() error { return c.workers[0].ask(ctx, http.MethodPost, again, nil, nil) }); err != nil {
		return err
	}
	if err := s.play(ctx, p.flow(), c.programs, nil); err != nil {
		return err
	}
	return errors.Join(c.position(ctx), p.carried(ctx), p.sunk(ctx), c.stop())
}

// failed waits until the task of a connector has failed for a reason.
func (c *crew) failed(ctx context.Context, connector, reason string) error {
	return until(ctx, "wait for the failure of "+connector, c.programs, func() error {
		var s status
		if err := c.workers[0].ask(ctx, http.MethodGet, "/connectors/"+connector+"/status", nil, &s); err != nil {
			return err
		}
		if len(s.Tasks) != 1 || s.Tasks[0].State != "FAILED" || !strings.Contains(s.Tasks[0].Trace, reason) {
			return fmt.Errorf("connector %s is %+v, want it failed for %s", connector, s, reason)
		}
		return nil
	})
}
