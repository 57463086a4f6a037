package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// prove proves to a broker who the client is (SaslHandshake and SaslAuthenticate). It answers for how
// long the connection may be used, 0 for ever: less than the broker says, so that what is on its way
// by then is still answered.
func prove(ctx context.Context, socket net.Conn, o *Options, keys []kmsg.ApiVersionsResponseApiKey, address string) (time.Duration, error) {
	if o.Proof == nil {
		return 0, nil
	}
	most := int16(-1)
	for _, key := range keys {
		if key.ApiKey == kmsg.SASLAuthenticate.Int16() {
			most = min(key.MaxVersion, 2)
		}
	}
	if most < 0 {
		return 0, errors.New("it does not know SaslAuthenticate")
	}
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, o.Proof.Name()
	answer, err := exchange(socket, o, handshake, 1)
	if err != nil {
		return 0, err
	}
	if a := answer.(*kmsg.SASLHandshakeResponse); a.ErrorCode != 0 {
		return 0, fmt.Errorf("%s: %w (it has %v)", handshake.Mechanism, kerr.ErrorForCode(a.ErrorCode), a.SupportedMechanisms)
	}
	session, message, err := o.Proof.Authenticate(ctx, address)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", handshake.Mechanism, err)
	}
	for correlation := int32(2); ; correlation++ {
		q := kmsg.NewPtrSASLAuthenticateRequest()
		q.Version, q.SASLAuthBytes = most, message
		answer, err := exchange(socket, o, q, correlation)
		if err != nil {
			return 0, err
		}
		a := answer.(*kmsg.SASLAuthenticateResponse)
		if a.ErrorCode != 0 {
			told := ""
			if a.ErrorMessage != nil {
				told = *a.ErrorMessage
			}
			return 0, fmt.Errorf("%s: %w: %s", handshake.Mechanism, kerr.ErrorForCode(a.ErrorCode), told)
		}
		done, next, err := session.Challenge(a.SASLAuthBytes)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", handshake.Mechanism, err)
		}
		if done {
			return time.Duration(a.SessionLifetimeMillis) * time.Millisecond * 8 / 10, nil
		}
		message = next
	}
}

// turnedAway has nobody wait for topics any longer when brokers do not let the client in: that does
// not change while it tries again.
func (s *sender) turnedAway(why error) {
	if !errors.Is(why, kerr.SaslAuthenticationFailed) && !errors.Is(why, kerr.UnsupportedSaslMechanism) {
		return
	}
	for _, w := range s.wanted {
		w.err = why
		close(w.done)
	}
	s.wanted = s.wanted[:0]
}
