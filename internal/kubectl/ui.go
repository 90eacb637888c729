package kubectl

import (
	"context"
	"fmt"
	"io"

	"github.com/cli/browser"
	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/kubectl/local"
)

type uiFlags struct {
	port      int
	noBrowser bool
}

func newUI(o *options) *cobra.Command {
	var f uiFlags
	c := &cobra.Command{
		Use:   "ui",
		Short: "Open the page in a browser, with your own credentials",
		Long: `Serve shardscaler's page on this machine alone, and open it in a browser. What the page asks for goes the same way as this plugin's
commands, as you; credentials that expire are renewed. The address that it prints has a key in it: do not pass it on. It ends with
Ctrl-C.`,
		Example: `  kubectl shardscaler ui -n iota

  # Only print the address, always with the same port
  kubectl shardscaler ui --no-browser --port 8081`,
		Args: words(0, 0),
		RunE: func(c *cobra.Command, _ []string) error { return serveUI(c.Context(), o, f) },
	}
	c.Flags().IntVar(&f.port, "port", 0, "The port on this machine; 0: any that is free")
	c.Flags().BoolVar(&f.noBrowser, "no-browser", false, "Only print the address")
	return c
}

func serveUI(ctx context.Context, o *options, f uiFlags) error {
	if f.port < 0 || f.port > 65535 {
		return fmt.Errorf("--port: %d: must be between 0 and 65535", f.port)
	}
	to, err := o.connect(ctx)
	if err != nil {
		return err
	}
	if _, err := to.Kinds(ctx); err != nil { // here the error can be explained
		return fmt.Errorf("ask for kinds: %w", err)
	}
	server, err := local.Listen(to, f.port)
	if err != nil {
		return client.Advise(err, "leave out --port, or name another one")
	}
	fmt.Fprintln(o.Out, server.Address())
	if !f.noBrowser {
		go openBrowser(o.ErrOut, server.AddressOnce()) // a browser may stay until it is closed
	}
	return server.Serve(ctx)
}

func openBrowser(errOut io.Writer, address string) {
	browser.Stdout, browser.Stderr = io.Discard, io.Discard
	if err := browser.OpenURL(address); err != nil {
		fmt.Fprintln(errOut, "No browser can be opened here: open the address yourself.")
	}
}
