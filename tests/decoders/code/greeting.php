<?php
declare(strict_types=1);

final class Greeting
{
    public function __construct(private string $name)
    {
    }

    public function text(): string
    {
        return sprintf('Hello, %s!', $this->name);
    }
}

foreach (['Ada', 'Grace'] as $name) {
    echo (new Greeting($name))->text(), PHP_EOL;
}
