package cluster

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Refusal is why one item of a request was not done: the error whose code goes on the
// wire, and the message beside it in Kafka's words.
type Refusal struct {
	Code *kerr.Error
	// Message is empty where Kafka sends a null message.
	Message string
}

func refuse(code *kerr.Error, format string, arguments ...any) *Refusal {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, arguments...)}
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.Message == "" {
		return r.Code.Error()
	}
	return r.Code.Message + ": " + r.Message
}

// Unwrap gives the error that has the code.
func (r *Refusal) Unwrap() error { return r.Code }

// Wire is what a response carries: the code, and the message or null. A nil refusal is
// success.
func (r *Refusal) Wire() (code int16, message *string) {
	if r == nil {
		return 0, nil
	}
	if r.Message == "" {
		return r.Code.Code, nil
	}
	return r.Code.Code, &r.Message
}
