/* A picture being drawn: RGB pixels, filled rectangles, images enlarged, words in a small font. What reaches beyond the edges is cut off. */
#ifndef HARNESS_CANVAS_H
#define HARNESS_CANVAS_H

#include "harness/data/image.h"

typedef struct Colour { uint8_t r, g, b; } Colour;
typedef struct Place  { int x, y, width, height; } Place;

/* White all over; image_free. */
bool canvas_create(Image *canvas, int width, int height, Error *err);
void canvas_fill(Image *canvas, Place at, Colour c);
void canvas_dot(Image *canvas, int x, int y, Colour c);
/* image (1 or 3 channels), every pixel as a square of `scale` by `scale`. */
void canvas_image(Image *canvas, int x, int y, const Image *image, int scale);

/* Black words of a-z, 0-9, blank . - = and comma; other characters are left blank. A character is CANVAS_TEXT_WIDTH by
 * CANVAS_TEXT_HEIGHT times scale, the gaps to the next ones included. */
enum { CANVAS_TEXT_WIDTH = 6, CANVAS_TEXT_HEIGHT = 9 };
void canvas_text(Image *canvas, int x, int y, int scale, const char *text);

/* `share` in [0,1] on the scale cividis (Nunez, Anderton & Renslow 2018): dark blue to yellow, rising in lightness, alike to people
 * with and without colour blindness and in grey. */
Colour canvas_scale(double share);

#endif
