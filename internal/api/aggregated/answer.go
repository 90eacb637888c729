package aggregated

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/exact"
)

// problemType is the media type by which a caller asks for problem documents instead of Status.
const problemType = "application/problem+json"

// answer passes an answer on, but for what Kubernetes has a form of its own for: errors, and with
// objects the kinds and nodes. These are kept back until finish.
type answer struct {
	http.ResponseWriter
	request   *http.Request
	objects   bool
	selection selection // of a list, or a watch
	frames    *frames   // of a watch; nil: the stream goes on as it is

	status int
	kept   *bytes.Buffer // nil: what is written goes on
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status != 0 {
		return
	}
	a.status = status
	if status >= http.StatusBadRequest && !wantsProblems(a.request) || status == http.StatusOK && a.objects {
		a.kept = &bytes.Buffer{}
		return
	}
	if a.frames != nil {
		a.Header().Set("Content-Type", "application/json")
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(text []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	switch {
	case a.kept != nil:
		return a.kept.Write(text)
	case a.frames != nil:
		out, err := a.frames.take(text)
		if err == nil && len(out) > 0 {
			_, err = a.ResponseWriter.Write(out)
		}
		return len(text), err
	}
	return a.ResponseWriter.Write(text)
}

// selects reads what a list or a watch is to show, and how long a watch is to last; 0: as long as
// the client wants.
func (a *answer) selects(namespace string) (last time.Duration, err error) {
	query := a.request.URL.Query()
	if a.selection, err = selectionOf(query); err != nil || a.objects {
		return 0, err
	}
	if !wantsFrames(a.request) {
		if query.Get("labelSelector") != "" {
			return 0, errors.New("labelSelector: a stream of events takes none")
		}
		return 0, nil
	}
	a.frames = &frames{namespace: namespace, selected: a.selection, table: wantsTable(a.request), since: query.Get("resourceVersion")}
	return watchFor(query)
}

// Flush implements http.Flusher, for streams.
func (a *answer) Flush() {
	if flusher, ok := a.ResponseWriter.(http.Flusher); ok && a.kept == nil {
		flusher.Flush()
	}
}

// Unwrap lets http.ResponseController find what the connection can do.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// finish writes what was kept back.
func (a *answer) finish(namespace string) {
	if a.kept == nil {
		return
	}
	a.Header().Del("Content-Length")
	if a.status >= http.StatusBadRequest {
		writeError(a.ResponseWriter, a.request, a.status, explain(a.kept.Bytes()))
		return
	}
	doc, err := convert(a.kept.Bytes(), namespace, a.selection, wantsTable(a.request))
	if err != nil {
		writeError(a.ResponseWriter, a.request, http.StatusInternalServerError, err.Error())
		return
	}
	a.Header().Set("Content-Type", "application/json")
	a.ResponseWriter.WriteHeader(a.status)
	_, _ = a.ResponseWriter.Write(doc) // a caller that hung up needs no answer
}

// explain is the sentence of a problem document, with what is wrong with each field.
func explain(body []byte) string {
	problem := struct {
		Detail string `json:"detail"`
		Title  string `json:"title"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}{}
	_ = exact.JSON(body, &problem) // what is none has no detail
	detail := cmp.Or(problem.Detail, problem.Title)
	for _, e := range problem.Errors {
		detail += "; " + strings.TrimPrefix(e.Location+": ", ": ") + e.Message
	}
	return detail
}

// writeError writes an error in the form that the caller asks for.
func writeError(w http.ResponseWriter, r *http.Request, status int, message string) {
	doc := any(statusOf(status, message))
	w.Header().Set("Content-Type", "application/json")
	if wantsProblems(r) {
		doc = map[string]any{"title": http.StatusText(status), "status": status, "detail": message}
		w.Header().Set("Content-Type", problemType)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc) // a caller that hung up needs no answer
}

// statusOf is an error as Kubernetes has it.
func statusOf(code int, message string) metav1.Status {
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Message: message, Reason: reasons[code],
		Details: &metav1.StatusDetails{Group: access.Group, Kind: "kinds"},
	}
}

var reasons = map[int]metav1.StatusReason{
	http.StatusBadRequest: metav1.StatusReasonBadRequest, http.StatusUnauthorized: metav1.StatusReasonUnauthorized,
	http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusNotFound: metav1.StatusReasonNotFound,
	http.StatusMethodNotAllowed: metav1.StatusReasonMethodNotAllowed, http.StatusUnsupportedMediaType: metav1.StatusReasonUnsupportedMediaType,
	http.StatusConflict: metav1.StatusReasonConflict, http.StatusGone: metav1.StatusReasonGone,
	http.StatusUnprocessableEntity: metav1.StatusReasonInvalid, http.StatusRequestEntityTooLarge: metav1.StatusReasonRequestEntityTooLarge,
	http.StatusTooManyRequests: metav1.StatusReasonTooManyRequests, http.StatusServiceUnavailable: metav1.StatusReasonServiceUnavailable,
	http.StatusGatewayTimeout: metav1.StatusReasonTimeout, http.StatusInternalServerError: metav1.StatusReasonInternalError,
}

// accepts are the media types of an Accept header, with their parameters.
func accepts(r *http.Request, wanted func(media string, parameters map[string]string) bool) bool {
	for _, clause := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		media, parameters, err := mime.ParseMediaType(clause)
		if err == nil && wanted(media, parameters) {
			return true
		}
	}
	return false
}

func wantsProblems(r *http.Request) bool {
	return accepts(r, func(media string, _ map[string]string) bool { return media == problemType })
}

func wantsTable(r *http.Request) bool {
	return accepts(r, func(media string, p map[string]string) bool {
		return media == "application/json" && p["as"] == "Table" && p["g"] == metav1.GroupName && p["v"] == "v1"
	})
}
