"""GLSL of the head renderer: one vertex program, one fragment program for each kind of surface.

Paint is fixed to `v_canon`, the point's place on the average face (metres, x left, y back, z up, origin at the head
joint), so it follows every identity and every expression. The programs share their functions and stay in one file.
"""

VERTEX = """
#version 330
uniform mat4 u_camera;
uniform mat3 u_head, u_neck;
uniform vec3 u_head_pivot, u_neck_pivot;
in vec3 in_position, in_normal, in_canon;
in vec2 in_uv, in_follow;
in float in_shade, in_part;
out vec3 v_position, v_normal, v_canon;
out vec2 v_uv;
out float v_shade;
flat out int v_part;
void main() {
    vec3 on_neck = u_neck_pivot + u_neck * (in_position - u_neck_pivot);
    vec3 pivot = u_neck_pivot + u_neck * (u_head_pivot - u_neck_pivot);
    vec3 on_head = pivot + u_neck * (u_head * (in_position - u_head_pivot));
    vec3 p = mix(mix(in_position, on_neck, in_follow.y), on_head, in_follow.x);
    vec3 n = mix(mix(in_normal, u_neck * in_normal, in_follow.y), u_neck * (u_head * in_normal), in_follow.x);
    v_position = p;
    v_normal = n;
    v_canon = in_canon;
    v_uv = in_uv;
    v_shade = in_shade;
    v_part = int(in_part + 0.5);
    gl_Position = u_camera * vec4(p, 1.0);
}
"""

LIGHT = """
#version 330
uniform vec3 u_eye, u_key_direction, u_key, u_fill_direction, u_fill, u_sky, u_ground;
uniform float u_exposure;
uniform float u_toon;   // 0 as in life .. 1 drawn: flat paint, light in steps, inked edges
in vec3 v_position, v_normal, v_canon;
in vec2 v_uv;
in float v_shade;
flat in int v_part;
out vec4 o_color;

float hash(vec3 p) {
    p = fract(p * 0.3183099 + vec3(0.1, 0.17, 0.13));
    p *= 17.0;
    return fract(p.x * p.y * p.z * (p.x + p.y + p.z));
}
float noise(vec3 p) {
    vec3 i = floor(p), f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    float fine = mix(mix(mix(hash(i), hash(i + vec3(1, 0, 0)), f.x),
                   mix(hash(i + vec3(0, 1, 0)), hash(i + vec3(1, 1, 0)), f.x), f.y),
               mix(mix(hash(i + vec3(0, 0, 1)), hash(i + vec3(1, 0, 1)), f.x),
                   mix(hash(i + vec3(0, 1, 1)), hash(i + vec3(1, 1, 1)), f.x), f.y), f.z);
    return mix(fine, 0.5, 0.72 * u_toon);
}
float blob(vec3 p, vec3 c, vec3 r) { vec3 d = (p - c) / r; return exp(-dot(d, d)); }

// A height (metres) as a tilt of the normal, from screen-space derivatives.
vec3 bump(vec3 n, float height) {
    vec3 dx = dFdx(v_position), dy = dFdy(v_position);
    vec3 r1 = cross(dy, n), r2 = cross(n, dx);
    float area = dot(dx, r1);
    vec3 slope = sign(area) * (dFdx(height) * r1 + dFdy(height) * r2);
    return normalize(abs(area) * n - slope);
}
// `soft` lets light creep round the terminator, by channel: skin bleeds red.
vec3 lambert(vec3 n, vec3 soft, float open) {
    vec3 key = max((dot(n, u_key_direction) + soft) / (1.0 + soft), 0.0);
    vec3 fill = max((dot(n, u_fill_direction) + soft) / (1.0 + soft), 0.0);
    vec3 around = mix(u_ground, u_sky, 0.5 + 0.5 * n.z);
    vec3 bounce = pow(vec3(open), vec3(1.0) - 0.55 * soft);
    return (key * key * 0.35 + key * 0.65) * u_key * mix(vec3(1.0), bounce, 0.75)
        + fill * u_fill * bounce + around * bounce;
}
float gloss(vec3 n, vec3 light, float power) {
    vec3 view = normalize(u_eye - v_position);
    vec3 h = normalize(light + view);
    float grazing = pow(1.0 - max(dot(h, view), 0.0), 5.0);
    return (power + 8.0) / 25.0 * pow(max(dot(n, h), 0.0), power) * (0.04 + 0.96 * grazing)
        * smoothstep(-0.1, 0.2, dot(n, light));
}
vec3 shine(vec3 n, float power) {
    return gloss(n, u_key_direction, power) * u_key + gloss(n, u_fill_direction, power) * u_fill;
}
void finish(vec3 light, float alpha) {
    vec3 x = light * u_exposure;
    x = (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14);
    if (u_toon > 0.0) {
        float level = sqrt(max(dot(x, vec3(0.3, 0.6, 0.1)), 1e-4)) * 7.0;
        float stepped = floor(level) + smoothstep(0.25, 0.75, fract(level));
        x *= mix(1.0, stepped * stepped / (level * level), u_toon);
        float facing = abs(dot(normalize(v_normal), normalize(u_eye - v_position)));
        x *= 1.0 - 0.85 * u_toon * smoothstep(0.30, 0.14, facing);
    }
    o_color = vec4(pow(clamp(x, 0.0, 1.0), vec3(1.0 / 2.2)), alpha);
}
"""

FACE = (
    LIGHT
    + """
uniform sampler2D u_masks;
uniform vec3 u_skin, u_lip, u_brow, u_iris, u_cloth, u_tooth;
uniform vec4 u_makeup;      // lip paint, beard shadow, freckles, blush
uniform vec3 u_brow_shape;  // thickness, arch, height
uniform float u_age, u_gloss, u_neckline;
uniform float u_gape;       // how much light the lips let in, 0..1

vec3 skin(vec3 n, float open) {
    vec4 mask = texture(u_masks, v_uv);
    vec3 c = v_canon, m = vec3(abs(c.x), c.yz);
    float fine = noise(c * 900.0), mid = noise(c * 160.0), broad = noise(c * 42.0);
    float face = 1.0 - smoothstep(-0.02, 0.06, c.y);
    vec3 color = u_skin * (0.94 + 0.07 * mid + 0.06 * broad);
    // Blood near the surface: cheeks, nose, ears, chin; less on the forehead.
    float red = 0.9 * u_makeup.w * blob(m, vec3(0.045, -0.085, 0.002), vec3(0.024, 0.05, 0.02))
        + 0.7 * blob(m, vec3(0.0, -0.135, 0.008), vec3(0.016, 0.03, 0.013)) + 0.5 * mask.a
        + 0.25 * blob(m, vec3(0.0, -0.11, -0.062), vec3(0.02, 0.04, 0.012));
    color *= mix(vec3(1.0), vec3(1.06, 0.80, 0.78), clamp(red, 0.0, 1.0) * 0.6);
    color *= mix(vec3(1.0), vec3(0.86, 0.76, 0.76), 0.55 * mask.b);
    color *= 1.0 - 0.10 * blob(m, vec3(0.028, -0.1, 0.026), vec3(0.016, 0.04, 0.006)) * (0.5 + u_age);
    float speck = smoothstep(0.72, 0.82, noise(c * 330.0)) * smoothstep(0.045, 0.0, abs(c.z - 0.01));
    color *= 1.0 - 0.22 * u_makeup.z * speck * face;
    // Beard: roots seen through the skin, on jaw, chin and upper lip.
    float jaw = smoothstep(0.004, -0.022, c.z - 0.25 * max(m.x - 0.03, 0.0)) * smoothstep(0.035, -0.02, c.y)
        * smoothstep(-0.088, -0.068, c.z);
    float above = 1.0 - blob(m, vec3(0.042, -0.09, -0.012), vec3(0.016, 0.05, 0.014));
    float beard = u_makeup.y * jaw * above * (1.0 - mask.r);
    color = mix(color, u_brow * 0.55 + color * 0.35, beard * (0.42 + 0.5 * smoothstep(0.35, 0.75, noise(c * 2000.0))));
    // Brows: an arch of short strokes.
    float t = (m.x - 0.0125) / 0.043;
    float middle = 0.0600 + u_brow_shape.z + u_brow_shape.y * (0.0085 * sin(clamp(t * 0.72, 0.0, 1.0) * 3.14159)
        - 0.006 * t * t);
    float half_width = u_brow_shape.x * mix(0.0044, 0.0012, smoothstep(0.25, 1.05, t)) * smoothstep(-0.10, 0.16, t);
    float across = (c.z - middle) / max(half_width, 1e-4);
    float strokes = noise(vec3((m.x - 0.6 * c.z) * 1500.0, c.z * 260.0, 1.0));
    float brow = smoothstep(1.35, 0.35, abs(across) + 0.55 * (strokes - 0.5)) * step(-0.1, t) * step(t, 1.06)
        * step(c.y, -0.05);
    color = mix(color, u_brow, brow * (0.55 + 0.35 * strokes));
    // Lips: fine vertical creases, darker towards the seam.
    float lip = smoothstep(0.25, 0.75, mask.r);
    float crease = noise(vec3(c.x * 900.0, c.z * 160.0, c.y * 160.0));
    color = mix(color, u_lip * (0.86 + 0.22 * crease), lip);
    float wet = smoothstep(0.3, 0.7, mask.g);
    float height = (fine - 0.5) * 0.00010 * (1.0 - lip) + (mid - 0.5) * 0.00022 * (0.6 + u_age) * (1.0 - lip)
        + (crease - 0.5) * 0.00022 * lip - brow * 0.0002;
    n = bump(n, height);
    if (wet > 0.5) {
        // Inside of the mouth: little light gets in, less the deeper.
        float deep = exp(-max(c.y + 0.102, 0.0) / 0.010);
        vec3 flesh = vec3(0.30, 0.075, 0.07) * mix(0.10, 1.0, deep);
        return flesh * lambert(n, vec3(0.5), open) * mix(0.25, 1.0, deep) * u_gape
            + 0.3 * deep * u_gape * shine(n, 60.0);
    }
    float oil = u_gloss * (0.55 + 0.9 * blob(m, vec3(0.0, -0.13, 0.02), vec3(0.02, 0.05, 0.035))
        + 0.4 * blob(m, vec3(0.0, -0.1, 0.1), vec3(0.05, 0.06, 0.02))) * (0.7 + 0.6 * mid) * (1.0 - 0.6 * brow);
    vec3 light = lambert(n, vec3(0.42, 0.20, 0.14), open);
    vec3 glow = shine(n, 14.0) * 1.2 + shine(n, 42.0) * 0.5;
    return color * light + glow * open * mix(oil, 0.35 + 1.4 * u_makeup.x, lip);
}

vec3 cloth(vec3 n, float open) {
    // The neckline: where an upright elliptic cylinder round the neck cuts the body.
    float ahead = v_canon.y - 0.028;
    float deep = ahead < 0.0 ? 0.066 + 0.045 * u_neckline : 0.058;
    float out_m = (length(vec2(v_canon.x / (0.070 + 0.02 * u_neckline), ahead / deep)) - 1.0) * 0.07;
    if (out_m < 0.0) discard;
    float rim = smoothstep(0.0125, 0.011, out_m);
    open *= 1.0 - 0.3 * smoothstep(0.0016, 0.0, abs(out_m - 0.0125));
    float weave = noise(v_canon * vec3(700.0, 500.0, 700.0));
    float fold = noise(v_canon * vec3(16.0, 9.0, 11.0)) + 0.5 * noise(v_canon * vec3(36.0, 20.0, 18.0));
    n = bump(n, fold * 0.004 + weave * 0.00018);
    return u_cloth * (0.85 + 0.2 * weave) * (1.0 + 0.12 * rim) * lambert(n, vec3(0.18), open);
}

vec3 eye(vec3 n, float open) {
    vec3 centre = vec3(sign(v_canon.x) * 0.0296, -0.0774, 0.0401);
    vec3 d = normalize(v_canon - centre);
    float a = acos(clamp(dot(d, normalize(vec3(sign(v_canon.x) * 0.085, -1.0, 0.0))), -1.0, 1.0));
    float turn = atan(d.z, d.x);
    vec3 white = vec3(0.66, 0.63, 0.60) - vec3(0.02, 0.16, 0.16) * smoothstep(0.5, 1.15, a)
        * (0.4 + 0.6 * noise(vec3(turn * 9.0, a * 14.0, 0.0)));
    float fibre = noise(vec3(turn * 14.0, a * 6.0, 3.0));
    vec3 iris = u_iris * (0.55 + 0.9 * fibre) * mix(1.5, 0.75, smoothstep(0.16, 0.44, a));
    iris *= 1.0 - 0.75 * smoothstep(0.38, 0.47, a);
    vec3 color = mix(iris, white, smoothstep(0.44, 0.50, a));
    color *= smoothstep(0.165, 0.205, a) * 0.97 + 0.03;
    // The lids and lashes shade the eyeball's upper edge.
    float under = smoothstep(0.0125, -0.002, v_canon.z - centre.z);
    vec3 light = lambert(n, vec3(0.35), 1.0) * mix(0.35, 1.0, under) * mix(0.55, 1.0, open);
    // The window in the eye: a small soft reflection of the key light.
    vec3 view = normalize(u_eye - v_position);
    float glint = smoothstep(0.972, 0.988, dot(reflect(-view, n), normalize(u_key_direction + 0.35 * view)));
    return color * light + (glint * 0.55 * u_key + shine(n, 200.0) * 0.15) * under;
}

vec3 tooth(vec3 n, bool upper, float open) {
    float round_arch = atan(v_canon.x, -(v_canon.y + 0.060)) * 0.036;
    float edge = upper ? v_canon.z + 0.0271 : -0.0228 - v_canon.z;
    float pitch = upper ? 0.0078 : 0.0056;
    float cell = fract(round_arch / pitch) - 0.5;
    float gap = smoothstep(0.40, 0.5, abs(cell));
    float gum = smoothstep(0.0095, 0.0115, edge + 0.0022 * abs(cell));
    float deep = exp(-max(v_canon.y + 0.095, 0.0) / 0.018);
    vec3 color = mix(u_tooth * (1.0 - 0.35 * gap), vec3(0.55, 0.22, 0.21), gum);
    n = normalize(n + vec3(cell * 0.7, 0.0, 0.0));
    float lit = mix(0.10, upper ? 0.80 : 0.62, deep) * u_gape;
    return color * lambert(n, vec3(0.4), 1.0) * lit + 0.4 * lit * shine(n, 120.0) * (1.0 - gap);
}

void main() {
    vec3 n = normalize(v_normal);
    if (v_part == 0) finish(skin(n, v_shade), 1.0);
    else if (v_part == 1) finish(eye(n, v_shade), 1.0);
    else if (v_part == 2) {
        // Separate hairs, fanned out from the middle of each eye; the lower ones are too fine to show.
        float fan = abs(v_canon.x) - 0.0310;
        bool lower = v_canon.z < 0.0390 - 0.10 * abs(fan);
        float hairs = noise(vec3((v_canon.x + fan * v_canon.z) * 4200.0, 0.0, 5.0));
        if (lower) discard;
        float cover = 0.35 + 0.5 * smoothstep(0.2, 0.7, hairs);
        finish(u_brow * 0.15, cover);
    }
    else if (v_part == 3 || v_part == 4) finish(tooth(n, v_part == 3, v_shade), 1.0);
    else if (v_part == 5) {
        float deep = exp(-max(v_canon.y + 0.090, 0.0) / 0.020);
        float rough = noise(v_canon * 700.0);
        n = bump(n, rough * 0.0004);
        finish(vec3(0.52, 0.20, 0.19) * (0.85 + 0.2 * rough) * lambert(n, vec3(0.5), 1.0) * mix(0.10, 0.50, deep)
            * u_gape + 0.25 * deep * u_gape * shine(n, 50.0), 1.0);
    }
    else finish(cloth(n, v_shade), 1.0);
}
"""
)

HAIR = (
    LIGHT
    + """
uniform vec3 u_hair;
uniform float u_layer;   // 0 at the scalp .. 1 outermost
uniform float u_curl;
void main() {
    // v_uv: across the strands, along them (0 at the root line .. 1 at the tips).
    vec3 n = normalize(v_normal);
    float wave = u_curl * sin(v_uv.y * 30.0 + 8.0 * noise(vec3(v_uv.x * 9.0, 0.0, 0.0))) * 0.02;
    float s = v_uv.x + wave;
    float lock = noise(vec3(s * 60.0, v_uv.y * 2.0, 0.0));
    float strand = noise(vec3(s * 420.0, v_uv.y * 5.0, 7.0));
    float hair_tip = 0.6 * noise(vec3(s * 900.0, 0.0, 3.0)) + 0.4 * noise(vec3(s * 170.0, 0.0, 3.0));
    float alpha = smoothstep(0.0, 0.3, v_shade - 0.40 * u_layer - 0.45 * (hair_tip - 0.35));
    alpha *= smoothstep(u_layer * 0.58 - 0.14, u_layer * 0.58 + 0.08, 0.55 * lock + 0.45 * strand);
    if (alpha < 0.06) discard;
    vec3 along = normalize(dFdx(v_position) * dFdy(v_uv.x) - dFdy(v_position) * dFdx(v_uv.x));
    vec3 view = normalize(u_eye - v_position);
    vec3 h = normalize(u_key_direction + view);
    float th = dot(along, h);
    float sheen = pow(max(1.0 - th * th, 0.0), 12.0) * smoothstep(-0.1, 0.5, dot(n, u_key_direction));
    n = bump(n, (lock - 0.5) * 0.006 + (strand - 0.5) * 0.0012);
    vec3 color = u_hair * (0.55 + 0.85 * strand + 0.75 * lock) * mix(0.45, 1.0, u_layer)
        * mix(0.6, 1.0, smoothstep(0.0, 0.10, v_uv.y));
    vec3 light = lambert(n, vec3(0.25), 0.85) * (gl_FrontFacing ? 1.0 : 0.18);
    sheen *= gl_FrontFacing ? 1.0 : 0.0;
    finish(color * light + sheen * (0.08 + 0.9 * u_hair) * u_key * (0.2 + 1.0 * strand) * 0.26, alpha);
}
"""
)

BACKDROP = """
#version 330
uniform vec3 u_near, u_far;
uniform vec2 u_centre;
uniform float u_grain;
out vec4 o_color;
in vec2 v_place;
float hash(vec2 p) { return fract(sin(dot(p, vec2(127.1, 311.7))) * 43758.5453); }
float noise(vec2 p) {
    vec2 i = floor(p), f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    return mix(mix(hash(i), hash(i + vec2(1, 0)), f.x), mix(hash(i + vec2(0, 1)), hash(i + vec2(1, 1)), f.x), f.y);
}
void main() {
    float r = length((v_place - u_centre) * vec2(0.8, 1.0));
    vec3 color = mix(u_near, u_far, smoothstep(0.1, 1.7, r));
    color += u_grain * (noise(v_place * 5.0) - 0.5);
    // A trace of dither keeps the gradient free of bands after coding.
    color += (hash(gl_FragCoord.xy) - 0.5) / 160.0;
    o_color = vec4(color, 1.0);
}
"""

BACKDROP_VERTEX = """
#version 330
uniform vec4 u_window;   // the part of the whole picture this one shows: centre, half size
in vec2 in_place;
out vec2 v_place;
void main() {
    v_place = u_window.xy + in_place * u_window.zw;
    gl_Position = vec4(in_place, 1.0, 1.0);
}
"""
