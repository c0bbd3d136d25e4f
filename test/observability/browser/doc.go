// Package browser looks at the status page as people do: it starts a headless
// Chromium and asks the page what it shows.
//
// Its tests start the real programs, too. They need Debian's package chromium,
// and fail without it. The command in screenshots makes the pictures for the
// documentation in the same way. It doesn't test how the page looks; that takes
// eyes.
package browser
