package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/api/access"
)

// Session is who calls, and until when.
type Session struct {
	User string `json:"user" doc:"empty where no token and no session came with the call"`
	// Stranger is why User is empty, and how to sign in.
	Stranger string   `json:"stranger,omitempty" doc:"why there is no user, and how to get a token"`
	Groups   []string `json:"groups" nullable:"false"`
	// Until is absent where no session ends: a token came with the call, or none is needed.
	Until time.Time `json:"until,omitzero" doc:"when the session ends; sign in again before"`
}

func session(ctx context.Context, until time.Time) Session {
	user := access.UserFrom(ctx)
	return Session{User: user.Name, Stranger: access.StrangerFrom(ctx), Groups: append([]string{}, user.Groups...), Until: until}
}

type sessionOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
	Body      Session
}

// registerSession registers the sessions of the page: a token becomes a cookie that no script can
// read, and that no other site's page can use.
func (h *handlers) registerSession() {
	op := func(id, method, summary string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: "/v1/api/session", Summary: summary, Tags: []string{"session"},
			Middlewares: append(h.places(h.small), h.guard.LetKnown, h.known), Security: []map[string][]string{{"bearer": {}}}, MaxBodyBytes: 4096,
		}
	}
	get := op("get-session", http.MethodGet, "Who calls, and until when")
	get.Middlewares = append(h.places(h.small), h.guard.LetAnyone, h.known) // a page that no user has signed in to yet asks, too
	huma.Register(h.api, get, func(ctx context.Context, _ *struct{}) (*jsonBody[Session], error) {
		return &jsonBody[Session]{Body: session(ctx, access.Until(ctx))}, nil
	})
	huma.Register(h.api, op("begin-session", http.MethodPost, "Keep the bearer token of this call as a session: sealed, in a cookie"), h.beginSession)
	end := op("end-session", http.MethodDelete, "End the session: the browser forgets the cookie")
	end.Middlewares, end.Security = append(h.places(h.small), h.known), nil // without a session none is lost
	huma.Register(h.api, end, func(context.Context, *struct{}) (*endOutput, error) {
		return &endOutput{SetCookie: *access.End()}, nil
	})
}

type endOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
}

type beginInput struct {
	Authorization string `header:"Authorization" required:"true"`
}

func (h *handlers) beginSession(ctx context.Context, in *beginInput) (*sessionOutput, error) {
	if access.DoorFrom(ctx) != access.Secure {
		return nil, huma.Error403Forbidden("a session begins over TLS alone")
	}
	token := access.Bearer(in.Authorization)
	if token == "" { // the caller was let in by a cookie
		return nil, huma.Error422UnprocessableEntity("header.Authorization: must be a bearer token")
	}
	cookie, until, err := h.guard.Begin(token, time.Now())
	switch {
	case errors.Is(err, access.ErrTokenTooLong):
		return nil, huma.Error422UnprocessableEntity(err.Error())
	case err != nil:
		return nil, huma.Error503ServiceUnavailable(err.Error())
	}
	h.log.Info("session begun", "user", access.UserFrom(ctx).Name, "until", until)
	return &sessionOutput{SetCookie: *cookie, Body: session(ctx, until)}, nil
}
