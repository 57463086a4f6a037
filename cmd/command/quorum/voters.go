package quorum

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Voter is a controller that shall have a vote, or none any more.
type Voter struct {
	ID        int32
	Directory [16]byte
	Endpoints []Endpoint
}

// Endpoint is where a controller is reached.
type Endpoint struct {
	Listener, Host string
	Port           uint16
}

// String is like CONTROLLER://host:9093.
func (e Endpoint) String() string {
	host := e.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s://%s:%d", e.Listener, host, e.Port)
}

// Add makes a controller a voter (KIP-853). With dry it only prints what it would do.
func Add(ctx context.Context, s *session.Session, v Voter, dry bool) error {
	done, endpoints := "Added", make([]string, len(v.Endpoints))
	request := kmsg.NewPtrAddRaftVoterRequest()
	request.VoterID, request.VoterDirectoryID = v.ID, v.Directory
	for i, e := range v.Endpoints {
		endpoints[i] = e.String()
		l := kmsg.NewAddRaftVoterRequestListener()
		l.Name, l.Host, l.Port = e.Listener, e.Host, e.Port
		request.Listeners = append(request.Listeners, l)
	}
	if dry {
		done = "DRY RUN of adding"
	} else {
		if !s.Supports(kmsg.AddRaftVoter) {
			return s.ErrUnsupported(kmsg.AddRaftVoter)
		}
		answer, err := request.RequestWith(ctx, s.Client)
		if err == nil {
			err = refused(answer.ErrorCode, answer.ErrorMessage)
		}
		if err != nil {
			return fmt.Errorf("add controller %d: %w", v.ID, err)
		}
	}
	fmt.Fprintf(s.Out, "%s controller %d with directory id %s and endpoints: %s\n", done, v.ID, identity(v.Directory), strings.Join(endpoints, ", "))
	return nil
}

// Remove takes the vote of a controller. With dry it only prints what it would do.
func Remove(ctx context.Context, s *session.Session, v Voter, dry bool) error {
	done := "Removed "
	if dry {
		done = "DRY RUN of removing "
	} else {
		if !s.Supports(kmsg.RemoveRaftVoter) {
			return s.ErrUnsupported(kmsg.RemoveRaftVoter)
		}
		request := kmsg.NewPtrRemoveRaftVoterRequest()
		request.VoterID, request.VoterDirectoryID = v.ID, v.Directory
		answer, err := request.RequestWith(ctx, s.Client)
		if err == nil {
			err = refused(answer.ErrorCode, answer.ErrorMessage)
		}
		if err != nil {
			return fmt.Errorf("remove controller %d: %w", v.ID, err)
		}
	}
	fmt.Fprintf(s.Out, "%s KRaft controller %d with directory id %s\n", done, v.ID, identity(v.Directory))
	return nil
}

func identity(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
