package main

import (
	"cmp"
	"image"
	"image/color"
	"maps"
	"slices"
)

// rgb is a colour without transparency.
type rgb struct{ r, g, b uint8 }

// RGBA implements color.Color.
func (c rgb) RGBA() (r, g, b, a uint32) { return color.RGBA{c.r, c.g, c.b, 0xff}.RGBA() }

func at(picture image.Image, x, y int) rgb {
	r, g, b, _ := picture.At(x, y).RGBA()
	return rgb{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)}
}

// coarse makes equal what looks the same.
func (c rgb) coarse() rgb { return rgb{c.r &^ 7, c.g &^ 7, c.b &^ 7} }

// commonest returns the n commonest colours of a picture. Of those that look the
// same, the commonest stands for all.
func commonest(picture image.Image, n int) color.Palette {
	counts := map[rgb]int{}
	bounds := picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[at(picture, x, y)]++
		}
	}
	common := func(a, b rgb) int {
		return cmp.Or(counts[b]-counts[a], int(a.r)-int(b.r), int(a.g)-int(b.g), int(a.b)-int(b.b))
	}
	taken := map[rgb]int{} // by the coarse colour: how often any of it occurs
	var palette []rgb
	for _, c := range slices.SortedFunc(maps.Keys(counts), common) {
		if _, ok := taken[c.coarse()]; !ok {
			palette = append(palette, c)
		}
		taken[c.coarse()] += counts[c]
	}
	slices.SortStableFunc(palette, func(a, b rgb) int { return taken[b.coarse()] - taken[a.coarse()] })
	var colours color.Palette
	for _, c := range palette[:min(n, len(palette))] {
		colours = append(colours, c)
	}
	return colours
}
